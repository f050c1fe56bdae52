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
