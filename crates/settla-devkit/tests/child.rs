//! A child outlives its parent's handle, is found again, and is never mistaken for another process.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use settla_devkit::child::{Child, ChildSpec, StopSignal, attach_or_start};
use settla_devkit::probe::http_ok;
use settla_devkit::process::ProcessId;
use settla_devkit::{DevkitError, TestFolder, stop_recorded};

fn spec(folder: &Path) -> ChildSpec<'_> {
    ChildSpec {
        name: "web",
        folder,
        ports: 1,
        stop_signal: StopSignal::Terminate,
        ready_within: Duration::from_secs(20),
    }
}

/// A small real server.
fn web(ports: &[u16]) -> Command {
    let mut command = Command::new("python3");
    command.args(["-m", "http.server", "--bind", "127.0.0.1"]);
    command.args(ports.iter().map(u16::to_string)).current_dir("/");
    command
}

async fn start(folder: &Path) -> Result<Child, DevkitError> {
    let healthy = |ports: Vec<u16>| async move { http_ok(ports[0], "/").await };
    attach_or_start(&spec(folder), web, healthy).await
}

fn record(folder: &Path) -> PathBuf {
    folder.join("web.child.json")
}

#[tokio::test]
async fn is_attached_to_again_and_keeps_its_port_over_a_crash() {
    let folder = TestFolder::new("child").expect("folder");
    let first = start(folder.path()).await.expect("start");
    assert!(!first.was_attached());
    let again = start(folder.path()).await.expect("attach");
    assert!(again.was_attached());
    assert_eq!((again.pid(), again.ports()), (first.pid(), first.ports()));

    first.kill().await.expect("kill");
    assert!(!again.is_alive());
    again.ended().await.expect("ended");
    let next = start(folder.path()).await.expect("start again");
    assert!(!next.was_attached());
    assert_ne!(next.pid(), first.pid());
    assert_eq!(next.ports(), first.ports());
    next.stop().await.expect("stop");
    assert!(TcpStream::connect(("127.0.0.1", next.ports()[0])).is_err());
}

#[tokio::test]
async fn parents_that_start_at_the_same_time_share_one_child() {
    let folder = TestFolder::new("child").expect("folder");
    let parents = (0..4).map(|_| {
        let folder = folder.path().to_owned();
        tokio::spawn(async move { start(&folder).await.expect("start").pid() })
    });
    let mut pids = Vec::new();
    for parent in parents.collect::<Vec<_>>() {
        pids.push(parent.await.expect("join"));
    }
    pids.dedup();
    assert_eq!(pids.len(), 1);
}

#[tokio::test]
async fn a_recycled_pid_is_neither_attached_to_nor_killed() {
    let folder = TestFolder::new("child").expect("folder");
    let child = start(folder.path()).await.expect("start");
    child.stop().await.expect("stop");

    // Somebody else's process gets the pid: same number, another start time.
    let mut stranger = Command::new("sleep").arg("60").spawn().expect("sleep");
    let text = std::fs::read_to_string(record(folder.path())).expect("record");
    let recycled = text.replace(&format!("\"pid\": {}", child.pid()), &format!("\"pid\": {}", stranger.id()));
    assert_ne!(text, recycled);
    std::fs::write(record(folder.path()), &recycled).expect("write");

    stop_recorded(folder.path()).expect("nothing to stop");
    let next = start(folder.path()).await.expect("start");
    assert!(!next.was_attached());
    assert_ne!(next.pid(), stranger.id());
    std::fs::write(record(folder.path()), &recycled).expect("write");
    stop_recorded(folder.path()).expect("nothing to stop");
    assert_eq!(stranger.try_wait().expect("look"), None, "the stranger was hurt");
    stranger.kill().expect("kill");
    stranger.wait().expect("wait");
    next.stop().await.expect("stop");
}

#[tokio::test]
async fn a_child_that_was_never_recorded_does_not_get_a_twin() {
    let folder = TestFolder::new("child").expect("folder");
    let lost = start(folder.path()).await.expect("start");
    // As if the parent had been killed between the start and the record.
    std::fs::remove_file(record(folder.path())).expect("remove");
    let next = start(folder.path()).await.expect("start");
    assert!(!next.was_attached());
    assert!(!lost.is_alive(), "two of them run");
}

#[tokio::test]
async fn another_command_line_replaces_the_child() {
    let folder = TestFolder::new("child").expect("folder");
    let old = start(folder.path()).await.expect("start");
    let changed = |ports: &[u16]| {
        let mut command = web(ports);
        command.env("SETTING", "another");
        command
    };
    let healthy = |ports: Vec<u16>| async move { http_ok(ports[0], "/").await };
    let new = attach_or_start(&spec(folder.path()), changed, healthy).await.expect("start");
    assert!(!new.was_attached());
    assert!(!old.is_alive());
    assert_eq!(new.ports(), old.ports());
}

#[tokio::test]
async fn a_child_that_ends_at_once_shows_its_log() {
    let folder = TestFolder::new("child").expect("folder");
    let broken = |_: &[u16]| {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 0.2; echo no such luck >&2; exit 3"]);
        command
    };
    let result = attach_or_start(&spec(folder.path()), broken, |_| async { true }).await;
    match result {
        Err(DevkitError::Exited { tail, .. }) => assert_eq!(tail, "no such luck"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_child_that_never_answers_is_ended() {
    let folder = TestFolder::new("child").expect("folder");
    let spec = ChildSpec { ready_within: Duration::from_millis(300), ..spec(folder.path()) };
    let deaf = |_: &[u16]| {
        let mut command = Command::new("sleep");
        command.arg("60");
        command
    };
    let result = attach_or_start(&spec, deaf, |_| async { true }).await;
    assert!(matches!(result, Err(DevkitError::NotReady { .. })), "{result:?}");
    let text = std::fs::read_to_string(record(folder.path())).expect("record");
    let record: serde_json::Value = serde_json::from_str(&text).expect("json");
    let process: ProcessId = serde_json::from_value(record["process"].clone()).expect("process");
    assert!(!process.is_alive());
}

#[tokio::test]
async fn a_child_that_ignores_the_signal_is_killed() {
    let mut stubborn = Command::new("sh")
        .args(["-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("sh");
    let mut line = [0; 6];
    let output = stubborn.stdout.as_mut().expect("stdout");
    std::io::Read::read_exact(output, &mut line).expect("ready");
    let process = ProcessId::of(stubborn.id()).expect("alive");
    let stopped = process.stop(StopSignal::Terminate, Duration::from_millis(200)).await;
    stopped.expect("stop");
    assert!(!process.is_alive());
    assert!(!stubborn.wait().expect("wait").success());
}
