//! The documents are held to the code: what they tell a reader to run, set, look up or follow is there.

mod common;

use common::{Fixture, positions, program};
use settla_devkit::TestFolder;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(60);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What is in the repository, or will be with the next commit.
fn files() -> Vec<String> {
    let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let output = Command::new("git").args(list).current_dir(root()).output().expect("git");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).unwrap();
    // A file that was removed and not yet committed is still listed.
    names.split('\0').filter(|name| root().join(name).is_file()).map(str::to_owned).collect()
}

fn documents() -> Vec<String> {
    files().into_iter().filter(|name| name.ends_with(".md")).collect()
}

/// From a heading to the next one of its level.
fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let start = text.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let rest = &text[start + 1..];
    let level = heading.split(' ').next().unwrap_or_default();
    rest[1..].find(&format!("\n{level} ")).map_or(rest, |end| &rest[..=end])
}

/// Lines of fenced blocks with their language, and all other lines with none.
fn lines(text: &str) -> Vec<(Option<&str>, &str)> {
    let mut language = None;
    let mut lines = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("```") {
            Some(name) => language = if language.is_none() { Some(name.trim()) } else { None },
            None => lines.push((language, line)),
        }
    }
    lines
}

/// Code as a reader would copy it: inline spans, and lines of fenced blocks without their prompt.
fn code(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (language, line) in lines(text) {
        match language {
            Some(_) => found.push(line.trim_start_matches("$ ")),
            None => found.extend(line.split('`').skip(1).step_by(2)),
        }
    }
    found
}

/// Every word that begins with `prefix` and goes on with characters that `more` takes.
fn words<'a>(text: &'a str, prefix: &str, more: fn(char) -> bool) -> BTreeSet<&'a str> {
    text.match_indices(prefix)
        .filter(|(at, _)| !text[..*at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
        .map(|(at, _)| {
            let rest = &text[at..];
            &rest[..rest.find(|c| !more(c)).unwrap_or(rest.len())]
        })
        .filter(|word| word.len() > prefix.len())
        .collect()
}

#[tokio::test]
async fn the_readmes_curls_work_in_order() {
    let readme = read("README.md");
    let blocks: Vec<&str> = lines(section(&readme, "## The API in ten curls"))
        .into_iter()
        .filter(|(l, _)| *l == Some("sh"))
        .map(|(_, line)| line)
        .collect();
    let fixture = Fixture::start("readme", &[]).await;
    let client = fixture.system.client(0).unwrap();
    // The seeded money comes through the bank, and may be on its way yet.
    let begun = Instant::now();
    while positions(&client).await.get("GBP", "available") == 0 {
        assert!(begun.elapsed() < SOON, "no money");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let here = TestFolder::new("readme-reader").unwrap();
    std::os::unix::fs::symlink(fixture.system.dir(), here.path().join(".settla")).unwrap();
    let before = r#"set -euo pipefail
curl() { command curl --fail-with-body --write-out '%{stderr}answered %{http_code} %{url_effective}\n' "$@"; }
"#;
    let script = format!("{before}{}", blocks.join("\n"));
    let output = Command::new("bash").args(["-c", &script]).current_dir(here.path()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    let answers: Vec<&str> = err.lines().filter_map(|line| line.strip_prefix("answered ")).collect();
    assert!(answers.iter().all(|answer| answer.starts_with('2')), "{answers:#?}");
    assert_eq!(answers.iter().filter(|answer| answer.contains(&fixture.system.facts.api)).count(), 10, "{answers:#?}");
    assert_eq!(answers.len(), 11, "ten, and the payer's at the bank: {answers:#?}");

    // What they started comes to its end.
    let listed = client.get("/v1/transfers").await.unwrap().success().unwrap();
    let id = listed["data"][0]["id"].as_str().expect("a transfer");
    client.wait_for(id, &["COMPLETED"], SOON).await.unwrap();
    fixture.stop().await;
}

/// The help of a command, if there is such a command.
fn help(words: &[&str]) -> Option<String> {
    let output = Command::new(program()).args(words).arg("--help").output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

#[test]
fn every_command_of_the_documents_exists() {
    let makefile = read("Makefile");
    let targets: BTreeSet<&str> =
        makefile.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    let mut seen = BTreeSet::new();
    for name in documents() {
        let text = read(&name);
        for span in code(&text) {
            let span = span.strip_prefix("target/debug/").unwrap_or(span);
            if let Some(target) = span.strip_prefix("make ").and_then(|rest| rest.split_whitespace().next()) {
                assert!(targets.contains(target), "{name}: there is no target {target}");
                seen.insert(format!("make {target}"));
            }
            let Some(rest) = span.strip_prefix("settla ") else { continue };
            let named: Vec<&str> =
                rest.split_whitespace().take_while(|word| word.chars().all(|c| c.is_ascii_lowercase())).collect();
            if named.is_empty() {
                continue;
            }
            // `settla tenant create`, but `settla sandbox` alone may be followed by an argument.
            let help =
                help(&named).unwrap_or_else(|| panic!("{name}: there is no command `settla {}`", named.join(" ")));
            for option in rest.split_whitespace().filter(|word| word.starts_with("--")) {
                assert!(help.contains(option), "{name}: `settla {}` has no {option}", named.join(" "));
            }
            seen.insert(format!("settla {}", named.join(" ")));
        }
    }
    for expected in ["make demo", "make test", "make soak", "settla dev", "settla reconcile", "settla key revoke"] {
        assert!(seen.contains(expected), "the documents do not name `{expected}`: {seen:?}");
    }
}

/// The cells of a table's rows, without its head.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let rows =
        text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| id ") && !line.starts_with("| no. "));
    rows.map(|line| line.trim_matches('|').split(" |").map(str::trim).collect()).collect()
}

#[test]
fn every_test_that_a_control_names_exists() {
    let functions: BTreeSet<String> = files()
        .iter()
        .filter(|name| name.ends_with(".rs"))
        .flat_map(|name| {
            let source = read(name);
            let found = words(&source, "fn ", |c| c.is_ascii_alphanumeric() || c == '_' || c == ' ');
            found.into_iter().map(|word| word["fn ".len()..].to_owned()).collect::<Vec<_>>()
        })
        .collect();
    let tests = |cell: &str| -> Vec<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let document = read("docs/controls.md");
    for (heading, prefix, count) in [("## A. The platform", "A", 26), ("## B. Custody", "B", 12)] {
        let rows = rows(section(&document, heading));
        let ids: Vec<&str> = rows.iter().map(|row| row[0]).collect();
        let expected: Vec<String> = (1..=count).map(|n| format!("{prefix}{n:02}")).collect();
        assert_eq!(ids, expected);
        for row in rows {
            let (id, state, named) = (row[0], row[2], tests(row[3]));
            let kept = state.starts_with("kept") || state.starts_with("partly: ");
            assert!(kept || state.starts_with("not yet"), "{id}: {state}");
            assert_eq!(kept, !named.is_empty(), "{id}: {state}");
            named.iter().for_each(|test| assert!(functions.contains(test), "{id}: there is no test {test}"));
        }
    }
    let faults = rows(section(&document, "## What went wrong elsewhere"));
    assert_eq!(faults.len(), 40);
    for row in faults {
        let named = tests(row[2]);
        assert_eq!(named.is_empty(), row[2].starts_with("later"), "{}: {}", row[0], row[2]);
        named.iter().for_each(|test| assert!(functions.contains(test), "{}: there is no test {test}", row[0]));
    }
}

#[test]
fn variables_and_metrics_are_documented_and_real() {
    let prefix = concat!("SETTLA", "_");
    let upper = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let lower = |c: char| c.is_ascii_lowercase() || c == '_';
    let metric = |word: &&str| ["_total", "_seconds", "_open", "_commands"].iter().any(|end| word.ends_with(end));
    let (mut variables, mut metrics) = (BTreeSet::new(), BTreeSet::new());
    let is_code = |name: &str| !name.ends_with(".md") && (name.ends_with(".rs") || !name.starts_with("crates/"));
    for name in files().iter().filter(|name| is_code(name)) {
        let Ok(source) = std::fs::read_to_string(root().join(name)) else { continue };
        variables.extend(words(&source, prefix, upper).into_iter().map(str::to_owned));
        if name.starts_with("crates/") && name.contains("/src/") {
            metrics.extend(words(&source, "settla_", lower).into_iter().filter(metric).map(str::to_owned));
        }
    }
    let document = read("docs/operations.md");
    let owned = |words: BTreeSet<&str>| words.into_iter().map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(owned(words(&document, prefix, upper)), variables);
    assert_eq!(owned(words(&document, "settla_", lower).into_iter().filter(metric).collect()), metrics);
    for name in documents() {
        let text = read(&name);
        for word in words(&text, prefix, upper) {
            assert!(variables.contains(word), "{name}: nothing reads {word}");
        }
    }
}

/// How a heading is named in a link.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().trim().to_lowercase().replace(' ', "-")
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut followed = 0;
    for name in documents() {
        let text = read(&name);
        let prose: Vec<&str> =
            lines(&text).into_iter().filter(|(language, _)| language.is_none()).map(|(_, line)| line).collect();
        for target in prose.iter().flat_map(|line| line.split("](").skip(1)).filter_map(|rest| rest.split(')').next()) {
            if target.starts_with("https://") {
                continue;
            }
            let (file, part) = target.split_once('#').unwrap_or((target, ""));
            let folder = Path::new(&name).parent().unwrap();
            let path = if file.is_empty() { PathBuf::from(&name) } else { folder.join(file) };
            assert!(root().join(&path).exists(), "{name}: {target} is not there");
            if !part.is_empty() {
                let there = read(path.to_str().unwrap());
                let headings = lines(&there).into_iter().filter(|(l, line)| l.is_none() && line.starts_with('#'));
                let found = headings.map(|(_, line)| anchor(line.trim_start_matches('#'))).any(|a| a == part);
                assert!(found, "{name}: {target} has no such heading");
            }
            followed += 1;
        }
    }
    assert!(followed > 10, "no links were seen");
}

#[test]
fn no_file_names_this_machine_or_a_registry() {
    // In two parts each, or this file would be one of them.
    let forbidden = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("registry.npm", "js.org"),
        concat!("static.crat", "es.io"),
        concat!("index.crat", "es.io"),
        concat!("py", "pi.org"),
        concat!("files.python", "hosted.org"),
        concat!("deb.deb", "ian.org"),
    ];
    let home = concat!("/ho", "me/");
    let names = files();
    assert!(names.len() > 200, "{}", names.len());
    for name in names {
        let bytes = std::fs::read(root().join(&name)).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        for (number, line) in text.lines().enumerate() {
            let of_a_user = line.split(home).skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
            let found = forbidden.iter().find(|part| line.contains(**part));
            assert!(found.is_none() && !of_a_user, "{name}:{}: {line}", number + 1);
        }
    }
}

#[test]
fn the_contracts_are_what_their_source_compiles_to() {
    assert!(
        root().join("tools/node_modules/solc").is_dir(),
        "the Solidity compiler is not installed: run `make setup`"
    );
    let output = Command::new("node").args(["tools/compile-contracts.mjs", "--check"]).current_dir(root()).output();
    let output = output.expect("node is not installed: see `settla doctor`");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
