//! The alert rules of `deploy/alerts/settla.yml`, and Prometheus' own tool to evaluate them.

use super::metrics::Scrape;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

/// Seconds between two values of a series, and how many there are: 20 minutes, longer than any rule's `for`.
const STEP_S: u32 = 30;
const STEPS: u32 = 40;

fn rule_file() -> PathBuf {
    settla_devkit::workspace_root().unwrap().join("deploy/alerts/settla.yml")
}

fn promtool() -> Command {
    let fetched = settla_devkit::workspace_root().unwrap().join(".tools/promtool");
    Command::new(if fetched.is_file() { fetched } else { "promtool".into() })
}

/// Runs the tool; panics with what it says if it is not content.
fn run(arguments: &[&str]) {
    let output = promtool()
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("promtool does not run ({error}): run `make setup`"));
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", said(&output.stdout), said(&output.stderr));
}

/// The rule file is one that Prometheus takes.
pub fn check_rules() {
    run(&["check", "rules", rule_file().to_str().unwrap()]);
}

/// One alert of the file, as text.
pub struct Rule {
    pub alert: String,
    pub text: String,
}

impl Rule {
    /// The metrics it asks for.
    pub fn metrics(&self) -> BTreeSet<String> {
        let words = self.text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words.filter(|word| word.starts_with("settla_")).map(str::to_owned).collect()
    }
}

/// The alerts of the file.
pub fn rules() -> Vec<Rule> {
    let text = std::fs::read_to_string(rule_file()).unwrap();
    let without_comments: String =
        text.lines().filter(|line| !line.trim_start().starts_with('#')).map(|line| format!("{line}\n")).collect();
    let rules: Vec<Rule> = without_comments
        .split("- alert:")
        .skip(1)
        .map(|text| Rule { alert: text.lines().next().unwrap().trim().to_owned(), text: text.to_owned() })
        .collect();
    assert!(rules.len() > 15, "the rules are not where they were");
    rules
}

/// Measurements over 20 minutes, and the alerts that must be firing at their end: these and no others.
pub struct Case {
    pub what: String,
    /// Series and values in promtool's notation: `61+0x40`.
    pub series: Vec<(String, String)>,
    pub firing: Vec<String>,
}

impl Case {
    /// The measurements of a scrape, if they stayed as they are. Ages would grow, so this is the mildest course.
    pub fn held(what: &str, scrape: &Scrape, firing: &[&str]) -> Self {
        let asked: BTreeSet<String> = rules().iter().flat_map(Rule::metrics).collect();
        let mut series = Vec::new();
        for (name, value) in scrape.series() {
            let metric = name.split('{').next().unwrap_or_default();
            if metric.ends_with("_timestamp_seconds") {
                // The tool's clock starts at zero, and this one goes on.
                series.push((name.to_owned(), format!("{}+{STEP_S}x{STEPS}", value - scrape.at_s)));
            } else if asked.contains(metric) {
                series.push((name.to_owned(), format!("{value}+0x{STEPS}")));
            }
        }
        Self { what: what.to_owned(), series, firing: firing.iter().map(|alert| (*alert).to_owned()).collect() }
    }

    fn as_test(&self) -> Value {
        let series: Vec<Value> =
            self.series.iter().map(|(series, values)| json!({ "series": series, "values": values })).collect();
        let firing: Vec<Value> = self
            .firing
            .iter()
            .map(|alert| json!({ "labels": format!("{{alertname={alert:?}}}"), "value": 1 }))
            .collect();
        // The tool names a failed test by its expression, so that says what it is about.
        let expression = format!("group by (alertname) (ALERTS{{alertstate=\"firing\"}}) # {}", self.what);
        json!({
            "interval": format!("{STEP_S}s"),
            "input_series": series,
            "promql_expr_test": [{ "expr": expression, "eval_time": format!("{}s", STEP_S * STEPS), "exp_samples": firing }],
        })
    }
}

/// Has Prometheus evaluate the rules over each case.
pub fn check(cases: &[Case]) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cases.yml");
    let tests: Vec<Value> = cases.iter().map(Case::as_test).collect();
    // JSON is YAML.
    let document = json!({ "rule_files": [rule_file()], "evaluation_interval": format!("{STEP_S}s"), "tests": tests });
    std::fs::write(&file, document.to_string()).unwrap();
    run(&["test", "rules", file.to_str().unwrap()]);
}
