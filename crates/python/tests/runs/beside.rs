//! Files and modules that lie beside a script.

use super::{Came, came};
use crate::world::{CROSS, World, request};
use springtide_python::{Beside, Finish, Message, RunLimits, Work};
use std::{collections::BTreeSet, sync::Arc};

fn run(world: &World, script: &str, beside: &Beside) -> Came {
    let mut with = request(script);
    with.beside = beside.clone();
    came(world, &Work::Run(Box::new(with)), &RunLimits::default())
}

/// A script that only prints, and what it printed.
fn printed(world: &World, script: &str, beside: &Beside) -> String {
    let all = run(world, &format!("import pandas as pd\n{script}\n"), beside);
    assert!(all.needs.is_none() && all.fault().kind == "NothingRan", "{:?}", all.fault());
    all.ended.log.stdout.trim().to_owned()
}

fn names(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn given_files_are_read_by_all_ways() {
    let Some(world) = World::ready() else { return };
    let packed = printed(
        &world,
        "import gzip, bz2\nfor p in (gzip, bz2): print(p.compress(b'a,b\\n1,2\\n').hex())",
        &Beside::default(),
    );
    let bytes = |hex: &str| -> Arc<[u8]> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    };
    let [gz, bz2] = [0, 1].map(|k| bytes(packed.lines().nth(k).unwrap()));
    let files = [
        ("a.csv", Arc::from(&b"a,b\n1,2\n"[..])),
        ("sub/b.csv", Arc::from(&b"a;b\n\xe9;2\n"[..])),
        ("c.csv.gz", gz),
        ("d.csv.bz2", bz2),
    ];
    let beside =
        Beside { files: files.map(|(name, body)| (name.to_owned(), body)).into(), ..Beside::default() };
    for (script, wanted) in [
        ("print(pd.read_csv('a.csv', memory_map=True).b[0])", "2"),
        (
            "import os\nprint(pd.read_csv(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'a.csv')).b[0])",
            "2",
        ),
        (
            "from pathlib import Path\nprint(pd.read_csv(Path('sub') / 'b.csv', sep=';', encoding='latin-1').a[0])",
            "\u{e9}",
        ),
        (
            "print(pd.read_csv('c.csv.gz').b[0], pd.read_csv('d.csv.bz2').b[0], pd.read_table('a.csv').shape)",
            "2 2 (1, 1)",
        ),
        ("print(pd.read_csv(open('a.csv')).b[0], open('./a.csv', 'rb').read())", "2 b'a,b\\n1,2\\n'"),
        ("from pathlib import Path\nprint(Path('sub/b.csv').read_text(encoding='latin-1')[4])", "\u{e9}"),
        ("import gzip\nprint(gzip.open('c.csv.gz', 'rt').read(3))", "a,b"),
        ("open('a.csv', 'w').write('own'); print(open('a.csv').read())", "own"),
    ] {
        assert_eq!(printed(&world, script, &beside), wanted, "{script}");
    }
}

#[test]
fn a_listed_file_is_asked_for_and_ends_the_run_at_once() {
    let Some(world) = World::ready() else { return };
    let beside = Beside { listed: Arc::new(names(&["sub/x.csv", "y.csv"])), ..Beside::default() };
    let asks = |text: &str, beside: &Beside| {
        let all = run(
            &world,
            &format!("import pandas as pd\ntry:\n    {text}\nexcept BaseException: pass\n"),
            beside,
        );
        assert_eq!(all.ended.finish, Finish::Code(0));
        assert!(all.needs.is_none() || all.end.is_none(), "nothing comes after it");
        all.needs
    };
    for (text, wanted) in [
        ("pd.read_csv('sub' + '/x.csv')", Some("sub/x.csv")),
        ("open(f'{chr(121)}.csv')", Some("y.csv")),
        ("pd.read_csv('/home/me/y.csv')", Some("/home/me/y.csv")),
        ("pd.read_csv('../y.csv')", Some("../y.csv")),
        ("pd.read_csv('z.csv')", None),
        ("pd.read_csv('https://localhost/y.csv')", None),
        ("open('y.csv', 'w')", None),
    ] {
        assert_eq!(asks(text, &beside).as_deref(), wanted, "{text}");
    }
    let absent = Beside { absent: names(&["/home/me/y.csv"]), is_list_cut: true, ..beside };
    assert_eq!(asks("pd.read_csv('/home/me/y.csv')", &absent), None);
    let all = run(&world, "import pandas as pd\npd.read_csv('/home/me/y.csv')\n", &absent);
    let note = all.notes.iter().find(|note| note.contains("no such file beside the script")).expect("a note");
    assert!(note.contains("as far as its folders were looked through; answered with"), "{note}");
}

#[test]
fn who_reads_what_was_withheld_is_told_why() {
    let Some(world) = World::ready() else { return };
    let why = "`big.csv` is too long: name it with --data";
    let beside = Beside { withheld: [("big.csv".to_owned(), why.to_owned())].into(), ..Beside::default() };
    for text in ["pd.read_csv('big.csv')", "open('./big.csv')"] {
        let all = run(&world, &format!("import pandas as pd\n{text}\n"), &beside);
        let fault = all.fault();
        assert_eq!((fault.kind.as_str(), fault.message.as_str(), fault.line), ("NotGiven", why, Some(2)));
    }
    assert!(run(&world, CROSS, &beside).notes.iter().any(|note| note == why), "a note in any case");
}

#[test]
fn modules_beside_a_script_are_imported() {
    let Some(world) = World::ready() else { return };
    let modules = [
        (
            "helpers.py",
            "from p.deep import value\ndef f():\n    return value\ndef bad():\n    return 1 / 0\n",
        ),
        ("p/__init__.py", "from . import deep\n"),
        ("p/deep.py", "value = 5\n"),
        ("strategy.py", "name = __name__, __file__\n"),
        ("numpy.py", "raise ValueError\n"),
        ("broken.py", "def x(:\n"),
    ];
    let beside = Beside {
        modules: modules.map(|(name, text)| (name.to_owned(), Arc::from(text))).into(),
        ..Beside::default()
    };
    let text = format!("from helpers import f\nimport strategy, numpy\nprint(f(), strategy.name)\n{CROSS}");
    let all = run(&world, &text, &beside);
    all.good();
    assert_eq!(all.ended.log.stdout, "5 ('strategy', 'strategy.py')\n");
    assert_eq!(all.reads, ["helpers.py", "p/__init__.py", "p/deep.py", "strategy.py"]);
    let fault = run(&world, "import helpers\nhelpers.bad()\n", &beside).fault();
    let last = fault.trace.last().expect("steps");
    assert_eq!(
        (fault.line, last.file.as_str(), last.source.as_str()),
        (Some(2), "helpers.py", "return 1 / 0")
    );
    let fault = run(&world, "\nimport broken\n", &beside).fault();
    assert_eq!((fault.kind.as_str(), fault.line), ("SyntaxError", Some(2)));
    assert!(fault.message.contains("broken.py, line 1"), "{fault:?}");
}

#[test]
fn what_modules_import_is_read_from_their_syntax() {
    let Some(world) = World::ready() else { return };
    let texts = [
        ("p/a.py", "import os, numpy, b.c\nfrom . import d\nfrom .e import f\nfrom ..g import h\n"),
        ("i.py", "def f():\n    from j import *\n"),
        ("k.py", "def (\n"),
    ];
    let work = Work::Imports(texts.map(|(name, text)| (name.to_owned(), text.to_owned())).into());
    let mut told = Vec::new();
    let mut sink = |message| {
        if let Message::Imports(names) = message {
            told.push(names.map_err(|fault| fault.kind));
        }
    };
    world.workers.run(&work, None, &RunLimits::default(), &|| false, &mut sink).unwrap();
    let all = |names: &[&str]| Ok(names.iter().map(|name| (*name).to_owned()).collect());
    assert_eq!(told, [all(&["b.c", "p", "p.d", "p.e", "p.e.f"]), all(&["j"]), Err("SyntaxError".to_owned())]);
}
