//! A parent is killed while it makes, starts or takes over a cluster: the next one carries on, and
//! there is never a second server on the same data.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use settla_devkit::{Postgres, PostgresSettings, TestFolder, rounds};
use sqlx::{Connection, PgConnection};

/// Tells the copy of this program that it is the parent, and of which folder.
const FOLDER: &str = "SETTLA_DEVKIT_TEST_FOLDER";

async fn start(folder: &Path) -> Postgres {
    Postgres::start(folder, PostgresSettings::DISPOSABLE).await.expect("start")
}

/// What the copy runs; nothing in an ordinary run.
#[tokio::test]
async fn parent() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        start(Path::new(&folder)).await;
    }
}

/// The servers (not their children) that run on the data now.
fn servers(data: &Path) -> usize {
    let processes = std::fs::read_dir("/proc").expect("proc");
    processes
        .flatten()
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .filter(|line| {
            let mut arguments = line.split(|byte| *byte == 0);
            arguments.next().is_some_and(|program| program.ends_with(b"/postgres"))
                && arguments.any(|argument| argument == data.as_os_str().as_encoded_bytes())
        })
        .count()
}

#[tokio::test]
async fn the_next_parent_carries_on() {
    let folder = TestFolder::new("killed").expect("folder");
    let rounds = rounds(8, 100);
    for round in 0..rounds {
        let mut parent = Command::new(std::env::current_exe().expect("own program"))
            .args(["--exact", "parent"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("spawn");
        // Spread over the second that making and starting a cluster takes.
        tokio::time::sleep(Duration::from_millis(u64::from(round * 1_000 / rounds))).await;
        parent.kill().expect("kill");
        parent.wait().expect("wait");

        if round % 2 == 1 {
            let cluster = start(folder.path()).await;
            assert_eq!(servers(cluster.data()), 1);
            PgConnection::connect(&cluster.superuser_url()).await.expect("connect");
            // The next round meets a crashed cluster.
            cluster.kill().await.expect("kill");
        }
    }
}
