//! Arrays and what is left of them.

use super::*;

#[test]
fn a_slice_sees_and_changes_its_array() {
    holds(
        6,
        "a = array.from(0, 1, 2, 3)\ns = a.slice(1, 3)\na.remove(0)\n\
         plot(s.get(0) == 2 and s.get(1) == 3 ? 1 : 0, \"moves on\")\n\
         s.push(4)\nplot(a.size() == 4 and a.get(3) == 4 and s.size() == 3 ? 1 : 0, \"grows\")\n\
         s.set(0, 20)\nplot(a.get(1) == 20 ? 1 : 0, \"sets\")\n\
         s.sort(order.descending)\nplot(a.get(1) == 20 and a.get(3) == 3 ? 1 : 0, \"sorts\")\n\
         b = s.copy()\nb.set(0, 7)\nplot(a.get(1) == 20 ? 1 : 0, \"a copy is its own\")\n\
         s.clear()\nplot(a.size() == 1 and s.size() == 0 ? 1 : 0, \"clears\")\n\
         var int sum = 0\nsum := 0\nfor x in array.from(1, 2, 3, 4).slice(1, 3)\n    sum += x\nplot(sum == 5 ? 1 : 0, \"loops\")",
    );
}

#[test]
fn a_slice_of_a_shrunken_array_is_the_scripts_mistake() {
    let source =
        "//@version=6\nstrategy(\"t\")\na = array.from(1, 2, 3)\ns = a.slice(1, 3)\na.pop()\nplot(s.get(0))";
    let error = execute(source, &waves(3), ExecOptions::default()).unwrap_err().to_string();
    assert!(error.contains("a slice that lies outside its array"), "{error}");
}

/// Collections made on every bar, and within long loops, do not add up.
#[test]
fn what_is_dropped_is_collected() {
    let source = "//@version=6\nstrategy(\"t\")\ntype P\n    array<float> xs\n    P next\n\
         var P keep = P.new(array.new_float(10, 1.0), na)\nvar float sum = 0\n\
         for i = 0 to 999\n    p = P.new(array.new_float(5000, i), na)\n    q = P.new(p.xs.slice(0, 50), p)\n    \
         m = matrix.new<float>(5, 5, i)\n    d = map.new<string, float>()\n    d.put(\"a\", m.get(1, 1))\n    \
         if i == 7\n        keep := q\n    sum += d.get(\"a\")\n\
         plot(sum, \"sum\")\nplot(keep.xs.get(3) + keep.next.xs.get(4999), \"kept\")";
    let out = outcome(source, &waves(12));
    assert_eq!(plot(&out, "sum").last(), Some(&(499_500.0 * 12.0)));
    assert!(plot(&out, "kept").iter().all(|x| *x == 14.0));
}

#[test]
fn what_is_in_use_is_limited() {
    let source = "//@version=6\nstrategy(\"t\")\nvar a = array.new<matrix<float>>()\n\
         for i = 0 to 999\n    a.push(matrix.new<float>(300, 300, 0))\nplot(a.size())";
    let error = execute(source, &waves(10), ExecOptions::default()).unwrap_err();
    assert!(matches!(error, RunError::Memory { .. }), "{error}");
}

#[test]
fn arrays_without_elements_and_with_na() {
    holds(
        6,
        "e = array.new_float()\nplot(na(e.avg()) and na(e.sum()) and na(e.percentile_nearest_rank(5)) ? 1 : 0, \"none\")\n\
         plot(array.new_bool().every() ? 0 : 1, \"every of none\")\n\
         a = array.from(10.0, 20, 30, 40)\nplot(na(a.get(int(na))) ? 1 : 0, \"get\")\n\
         a.set(int(na), 5)\na.insert(int(na), 50)\nplot(a.size() == 5 and a.get(-1) == 50 ? 1 : 0, \"set and insert\")\n\
         plot(na(a.remove(int(na))) and a.size() == 5 ? 1 : 0, \"remove\")\n\
         s = array.from(30, na, 10.0)\ns.sort()\nplot(s.get(0) == 10 and na(s.get(2)) ? 1 : 0, \"sort\")\n\
         s.sort(order.descending)\nplot(na(s.get(0)) and s.get(2) == 10 ? 1 : 0, \"descending\")\n\
         t = array.from(\"b\", na, \"a\")\nt.sort()\nplot(na(t.get(0)) and t.get(1) == \"a\" ? 1 : 0, \"texts\")\n\
         i = array.from(na, na, 5.0, 1).sort_indices()\nplot(i.get(0) == 3 and i.get(2) == 0 and i.get(3) == 1 ? 1 : 0, \"indices\")\n\
         f = array.from(10.0, 20, 30, 40)\nf.fill(5, 1, int(na))\nplot(f.get(0) == 10 and f.get(3) == 5 ? 1 : 0, \"fill\")\n\
         z = array.from(1.0, 2, 3, na).standardize()\nplot(na(z.get(3)) and z.get(1) == 0 ? 1 : 0, \"standardize\")\n\
         plot(array.from(10.0, 20, 30).max(1) == 20 and na(array.from(1.0).min(3)) ? 1 : 0, \"nth\")",
    );
}

#[test]
fn sorted_arrays_are_searched_by_halves() {
    let case = |function: &str, value: i32, want: i32| {
        format!("plot(a.{function}({value}) == {want} ? 1 : 0, \"{function} {value}\")\n")
    };
    let mut body = "a = array.from(10, 20, 20, 20, 30, 40)\n".to_owned();
    for (x, want) in [(5, 0), (10, 0), (15, 0), (20, 1), (25, 3), (30, 4), (40, 5), (45, 5)] {
        body += &case("binary_search_leftmost", x, want);
    }
    for (x, want) in [(5, 0), (10, 0), (15, 1), (20, 3), (25, 4), (30, 4), (40, 5), (45, 6)] {
        body += &case("binary_search_rightmost", x, want);
    }
    for (x, want) in [(5, -1), (10, 0), (20, 2), (30, 4), (45, -1)] {
        body += &case("binary_search", x, want);
    }
    holds(6, &body);
}

#[test]
fn places_outside_an_array_are_mistakes() {
    for (version, body) in [
        (6, "a.get(3)"),
        (6, "a.get(-4)"),
        (5, "a.get(-1)"),
        (6, "a.slice(2, 4).size()"),
        (6, "a.slice(3, 3).size()"),
        (6, "a.slice(2, 1).size()"),
        (6, "a.percentrank(-1)"),
        (6, "a.percentile_nearest_rank(101)"),
        (6, "array.new_float().first()"),
        (6, "array.new_float().pop()"),
        (6, "matrix.new<float>(2, 3).det()"),
        (6, "matrix.new<float>(2, 2).get(2, 0)"),
    ] {
        let source =
            format!("//@version={version}\nstrategy(\"t\")\na = array.from(1.0, 2, 3)\nplot({body})");
        let error = execute(&source, &waves(3), ExecOptions::default());
        assert!(matches!(error, Err(RunError::Script { .. })), "{body}: {:?}", error.map(|o| o.plots));
    }
}

#[test]
fn matrices_know_their_kinds() {
    let make = "new(a, b, c, d) =>\n    m = matrix.new<float>(2, 2)\n    m.set(0, 0, a)\n    m.set(0, 1, b)\n    \
                m.set(1, 0, c)\n    m.set(1, 1, d)\n    m\n";
    let body = "plot(new(0, 2, -2, 0).is_antisymmetric() and not new(1, 2, -2, 0).is_antisymmetric() ? 1 : 0, \"antisymmetric\")\n\
         plot(new(0, 2, 3, 0).is_antidiagonal() and not new(0, 2, 3, 1).is_antidiagonal() ? 1 : 0, \"antidiagonal\")\n\
         plot(new(1, 0, 3, 2).is_triangular() and new(1, 3, 0, 2).is_triangular() and not new(1, 2, 3, 4).is_triangular() ? 1 : 0, \"triangular\")\n\
         plot(new(0.5, 0.5, 0.1, 0.9).is_stochastic() and not new(1, 1, 0, 1).is_stochastic() ? 1 : 0, \"stochastic\")\n\
         k = new(1, 2, 3, 4).kron(new(0, 5, 6, 7))\nplot(k.rows() == 4 and k.get(1, 0) == 6 and k.get(3, 2) == 24 ? 1 : 0, \"kron\")\n\
         plot(new(1, 2, 2, 4).rank() == 1 and new(1, 2, 3, 4).rank() == 2 ? 1 : 0, \"rank\")\n\
         plot(math.round(new(1, 2, 2, 4).pinv().get(1, 1), 12) == 0.16 ? 1 : 0, \"pinv\")\n\
         p = new(1, 1, 1, 0).pow(10)\nplot(p.get(0, 0) == 89 and p.get(0, 1) == 55 ? 1 : 0, \"pow\")\n\
         plot(new(3, 1, 3, 1).mode() == 1 ? 1 : 0, \"mode\")\n\
         plot(math.round(new(2, 1, 1, 2).eigenvalues().get(0), 12) == 3 ? 1 : 0, \"eigenvalues\")\n\
         v = new(2, 1, 1, 2).eigenvectors()\nplot(math.round(v.get(0, 0) / v.get(1, 0), 12) == 1 ? 1 : 0, \"eigenvectors\")\n\
         m = new(1, 2, 3, 4)\nm.set(int(na), 0, 9)\nplot(na(m.get(0, int(na))) and m.get(0, 0) == 1 ? 1 : 0, \"na\")";
    holds(6, &format!("{make}{body}"));
}

#[test]
fn percentages_of_trades() {
    let source = "//@version=6\nstrategy(\"t\")\nif ta.change(close) > 0\n    strategy.entry(\"L\", strategy.long)\nelse\n    strategy.close(\"L\")\n\
        f(bool won, bool all) =>\n    s = 0.0\n    n = 0\n    if strategy.closedtrades > 0\n        for i = 0 to strategy.closedtrades - 1\n            \
        p = strategy.closedtrades.profit_percent(i)\n            if all or (p > 0) == won\n                s += p\n                n += 1\n    s / n\n\
        plot(strategy.avg_trade_percent - f(true, true), \"a\")\nplot(strategy.avg_winning_trade_percent - f(true, false), \"w\")\n\
        plot(strategy.avg_losing_trade_percent + f(false, false), \"l\")";
    let out = outcome(source, &waves(60));
    assert!(out.simulation.trades.len() > 3);
    for title in ["a", "w"] {
        assert_eq!(plot(&out, title).last(), Some(&0.0), "{title}");
    }
    assert!(plot(&out, "l").last().is_some_and(|x| x.is_nan() || *x == 0.0));
}
