//! `settla bench growth` fills, measures and explains at each size.

mod common;

use common::program;
use serde_json::Value;
use settla_devkit::TestFolder;

/// What is kept after a failure goes with the test's folder.
async fn growth(words: &[&str]) -> (bool, String, String) {
    let folder = TestFolder::new("growth").unwrap();
    let mut command = tokio::process::Command::new(program());
    command.args(["bench", "growth"]).args(words).env("TMPDIR", folder.path());
    let output = command.output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn costs_are_measured_and_explained_at_each_size() {
    let (passed, report, told) = growth(&["--sizes", "200,400", "--rounds", "5", "--json"]).await;
    assert!(passed, "{told}");
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["kept"], &report["positions_agree"]), (&Value::from("all"), &Value::from(true)));
    let rows = &report["rows_per_transfer"];
    assert_eq!((&rows["transfers"], &rows["quotes"], &rows["outbox"]), (&1.into(), &1.into(), &3.into()));
    assert_eq!(rows["events"], 5, "as docs/data.md says");
    let sizes = report["sizes"].as_array().unwrap();
    let stored: Vec<&Value> = sizes.iter().map(|step| &step["stored"]).collect();
    assert_eq!(stored, [200, 400]);
    for step in sizes {
        for (table, each) in rows.as_object().unwrap() {
            let (there, least) = (&step["tables"][table], each.as_u64().unwrap() * step["stored"].as_u64().unwrap());
            assert!(there["rows"].as_u64().unwrap() >= least, "{table}: {there}");
            assert!(there["bytes"].as_u64().unwrap() > 0, "{table}");
        }
        let operations = step["operations"].as_array().unwrap();
        assert_eq!(operations.len(), 14);
        for operation in operations {
            assert_eq!(operation["count"], 5, "{operation}");
            let ms = |name: &str| operation[name].as_f64().unwrap();
            assert!(0.0 < ms("p50_ms") && ms("p50_ms") <= ms("p99_ms"), "{operation}");
        }
    }
    assert_eq!(report["settings"]["fsync"], "on");
    assert_eq!(report["plans"].as_array().unwrap().len(), 2 * 14);
    // Each is of what was measured, those of the batch's statements and of what they set off too.
    for (operation, statement) in [
        ("list: first page", "SELECT * FROM transfers WHERE tenant = $1"),
        ("events of an old transfer", "SELECT * FROM events"),
        ("create: 50 transfers at once", "INSERT INTO transfers"),
        ("create: 1 transfer", "number_events"),
        ("outbox: claim 64 due", "UPDATE outbox o SET attempts"),
        ("partitions: all there", "make_partitions()"),
        ("sweeps: nothing to sweep", "DELETE FROM quotes"),
    ] {
        let plans = report["plans"].as_array().unwrap().iter().filter(|plan| plan["operation"] == operation);
        let plans: Vec<&Value> = plans.collect();
        assert_eq!(plans.len(), 2, "{operation}");
        for plan in plans {
            let statements = plan["statements"].as_array().unwrap();
            let found = statements.iter().find(|s| {
                let text = s["statement"].as_str().unwrap();
                text.contains(statement) || (statement == "number_events" && text.contains("WITH numbers AS"))
            });
            let found = found.unwrap_or_else(|| panic!("{operation} at {}: {statements:#?}", plan["stored"]));
            assert!(found["plan"]["Node Type"].is_string(), "{found}");
            assert!(!found["nodes"].as_array().unwrap().is_empty(), "{found}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_stored_is_not_begun() {
    for (sizes, why) in [("50", "50 is not from"), ("400,200", "larger than the one before"), ("x", "is no number")] {
        let (passed, _, told) = growth(&["--sizes", sizes]).await;
        assert!(!passed && told.contains(why), "{sizes}: {told}");
    }
    let (passed, _, told) = growth(&["--sizes", "10000000", "--disk-gib", "1"]).await;
    assert!(!passed && told.contains("GiB at the least, more than --disk-gib 1"), "{told}");
}
