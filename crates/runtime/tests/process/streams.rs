//! Bytes in and out, bounded.

use super::*;
use springtide_runtime::process::{Child, Ending, Input, Output, ProgressChannel};
use std::io::{Read, Write};

fn spawn(children: &Children, spec: ChildSpec) -> Child {
    children.spawn(spec, ChildOptions::new("stream")).unwrap()
}

#[test]
fn bytes_go_in_and_come_out() {
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut spec = ChildSpec::new("cat");
    spec.stdin = Input::Bytes(bytes.clone());
    spec.stdout = Output::Keep { bytes: 4_000_000, beyond: springtide_runtime::process::Beyond::End };
    assert!(run(spec).stdout.bytes == bytes);
}

#[test]
fn both_ways_at_once_through_small_buffers() {
    let children = children();
    let mut spec = ChildSpec::new("cat");
    spec.stdin = Input::Stream { buffer_bytes: 1_000 };
    spec.stdout = Output::Stream { buffer_bytes: 1_000 };
    let mut child = spawn(&children, spec);
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 253) as u8).collect();
    let mut read = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            input.write_all(&bytes).unwrap();
            drop(input);
        });
        output.read_to_end(&mut read).unwrap();
    });
    assert!(read == bytes);
    assert_eq!(child.wait().unwrap().ending, Ending::Code(0));
}

#[test]
fn a_slow_reader_slows_the_child_and_loses_nothing() {
    let children = children();
    let mut spec = shell("head -c 20000000 /dev/zero; echo done >&2");
    spec.stdout = Output::Stream { buffer_bytes: 10_000 };
    spec.stderr = Output::Stream { buffer_bytes: 10_000 };
    let mut child = spawn(&children, spec);
    let mut stderr = child.stderr.take().unwrap();
    let late = stderr.next_chunk(Duration::from_millis(300)).unwrap_err();
    assert_eq!(late.kind(), std::io::ErrorKind::TimedOut, "it cannot be done: nobody reads");
    let mut output = child.stdout.take().unwrap();
    let mut count = 0;
    while let Some(chunk) = output.next_chunk(Duration::from_secs(60)).unwrap() {
        assert!(chunk.len() <= 10_000);
        count += chunk.len();
    }
    assert_eq!(count, 20_000_000);
    assert_eq!(stderr.next_chunk(Duration::from_secs(60)).unwrap().unwrap(), b"done\n");
    assert_eq!(child.wait().unwrap().ending, Ending::Code(0));
}

#[test]
fn output_can_be_read_after_the_end() {
    let children = children();
    let mut spec = shell("head -c 50000 /dev/zero");
    spec.stdout = Output::Stream { buffer_bytes: 1_000 };
    let mut child = spawn(&children, spec);
    let mut output = child.stdout.take().unwrap();
    assert_eq!(child.wait().unwrap().ending, Ending::Code(0), "the rest fits the pipe");
    let mut read = Vec::new();
    output.read_to_end(&mut read).unwrap();
    assert_eq!(read.len(), 50_000);
}

#[test]
fn an_output_nobody_wants_does_not_hold_the_child_up() {
    let children = children();
    let mut spec = shell("head -c 5000000 /dev/zero");
    spec.stdout = Output::Stream { buffer_bytes: 1_000 };
    let mut child = spawn(&children, spec);
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().ending, Ending::Code(0));
}

#[test]
fn progress_is_told_while_it_runs() {
    let children = children();
    let mut spec = shell(
        "echo '{\"done\":1,\"total\":3}' >&5; echo '{\"fill\":{\"price\":1.5}}' >&5; echo oops >&5; cat; echo '{\"done\":3,\"total\":3}' >&5",
    );
    spec.stdin = Input::Stream { buffer_bytes: 1 };
    spec.progress = Some(ProgressChannel { fd: 5, ..ProgressChannel::default() });
    let mut child = spawn(&children, spec);
    let event = child.next_event(Duration::from_secs(60)).unwrap();
    assert_eq!(event["fill"]["price"], 1.5);
    assert_eq!(child.progress().unwrap().done, 1.0);
    assert_eq!(children.snapshot().children[0].progress.as_ref().unwrap().total, Some(3.0));
    drop(child.stdin.take());
    let exit = child.wait().unwrap();
    assert_eq!(exit.progress.last.unwrap().done, 3.0);
    assert_eq!((exit.progress.lines, exit.progress.malformed), (3, 1));
    assert_eq!(exit.progress.first_malformed.as_deref(), Some("oops"));
}

#[test]
fn descriptors_are_passed_under_their_numbers() {
    let file = tempfile::tempfile().unwrap();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let mut spec = shell("cat <&9 >&7");
    spec.pass = vec![(7, file.try_clone().unwrap().into()), (9, reader.into())];
    let children = children();
    let child = spawn(&children, spec);
    writer.write_all(b"through").unwrap();
    drop(writer);
    assert_eq!(child.wait().unwrap().ending, Ending::Code(0));
    let mut text = String::new();
    std::io::Seek::rewind(&mut &file).unwrap();
    (&file).read_to_string(&mut text).unwrap();
    assert_eq!(text, "through");

    let mut wrong = shell("");
    wrong.pass = vec![(16, file.into())];
    let error = children.spawn(wrong, ChildOptions::new("wrong")).unwrap_err();
    assert_eq!(error.to_string(), "cannot start `/bin/sh`: descriptor 16: only 3 to 15 can be given");
}

#[test]
fn results_have_a_channel_of_their_own() {
    let mut spec = shell("echo printed; echo result >&4; echo more >&4");
    spec.results = Some((4, Output::Keep { bytes: 9, beyond: springtide_runtime::process::Beyond::Drop }));
    let exit = run(spec);
    assert_eq!((&*exit.stdout.text(), &*exit.results.text()), ("printed\n", "result\nmo"));
    assert_eq!(exit.results.dropped, 3);
}
