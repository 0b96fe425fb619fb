//! Plans of the very statements that were measured, as the server itself writes them into its log (`auto_explain`).

use crate::failure::Failure;
use serde::Serialize;
use serde_json::Value;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Start-up options of a connection whose statements are explained, those of functions and triggers too.
pub(super) const EXPLAINED: [(&str, &str); 6] = [
    ("session_preload_libraries", "auto_explain"),
    ("auto_explain.log_min_duration", "0"),
    ("auto_explain.log_analyze", "on"),
    ("auto_explain.log_buffers", "on"),
    ("auto_explain.log_nested_statements", "on"),
    ("auto_explain.log_format", "json"),
];
/// More of a log than this is not read for one operation, in bytes.
const LOG_MAX: u64 = 64 << 20;
/// Of nodes of one kind below the same one, more than this are one line.
const ALIKE_MAX: usize = 2;
/// Characters of a statement that are shown.
const TEXT_MAX: usize = 110;

/// A statement with its plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Explained {
    pub statement: String,
    /// How often it ran with the same nodes and numbers, as a check of a foreign key does for each row.
    pub times: u64,
    /// Pages that it looked at each time, from wherever they came.
    pub buffers: u64,
    /// Its nodes that did something, one a line.
    pub nodes: Vec<String>,
    pub plan: Value,
}

impl Explained {
    /// The statement's beginning.
    pub fn title(&self) -> String {
        let text: String = self.statement.chars().take(TEXT_MAX).collect();
        let more = if text.len() < self.statement.len() { "…" } else { "" };
        if self.times > 1 { format!("{} × {text}{more}", self.times) } else { format!("{text}{more}") }
    }
}

/// How long the log is.
pub(super) fn length(log: &Path) -> Result<u64, Failure> {
    Ok(std::fs::metadata(log)?.len())
}

/// What was explained between two lengths of the log.
pub(super) fn between(log: &Path, from: u64, to: u64) -> Result<Vec<Explained>, Failure> {
    let mut file = File::open(log)?;
    file.seek(SeekFrom::Start(from))?;
    let mut text = Vec::new();
    file.take(to.saturating_sub(from).min(LOG_MAX)).read_to_end(&mut text)?;
    Ok(parse(&String::from_utf8_lossy(&text)))
}

/// Repeats of a statement are one, with the first one's plan.
pub(super) fn together(statements: Vec<Explained>) -> Vec<Explained> {
    let mut found: Vec<Explained> = Vec::with_capacity(statements.len());
    for one in statements {
        match found.iter_mut().find(|f| f.statement == one.statement && f.nodes == one.nodes) {
            Some(first) => first.times += one.times,
            None => found.push(one),
        }
    }
    found
}

/// An entry begins with `… duration: 0.1 ms  plan:`; its other lines are indented by a tab.
fn parse(log: &str) -> Vec<Explained> {
    let mut found = Vec::new();
    let mut lines = log.lines().peekable();
    while let Some(line) = lines.next() {
        if !(line.contains("duration: ") && line.ends_with("plan:")) {
            continue;
        }
        let mut entry = String::new();
        while let Some(line) = lines.next_if(|line| line.starts_with('\t')) {
            entry.push_str(line);
        }
        found.extend(serde_json::from_str(&entry).ok().and_then(explained));
    }
    found
}

fn explained(entry: Value) -> Option<Explained> {
    let statement = entry["Query Text"].as_str()?.split_whitespace().collect::<Vec<_>>().join(" ");
    let plan = entry.get("Plan")?.clone();
    let mut nodes = Vec::new();
    walk(&plan, 0, &mut nodes);
    Some(Explained { statement, times: 1, buffers: buffers(&plan), nodes, plan })
}

fn buffers(node: &Value) -> u64 {
    ["Shared Hit Blocks", "Shared Read Blocks"].iter().filter_map(|kind| node[*kind].as_u64()).sum()
}

fn name(node: &Value) -> String {
    let text = |field: &str| node[field].as_str().unwrap_or_default();
    let mut name = text("Node Type").to_owned();
    if name == "ModifyTable" {
        name = text("Operation").to_owned();
    }
    for (word, field) in [("using", "Index Name"), ("on", "Relation Name")] {
        if !text(field).is_empty() {
            name.push_str(&format!(" {word} {}", text(field)));
        }
    }
    name
}

fn walk(node: &Value, depth: usize, lines: &mut Vec<String>) {
    let count = |field: &str| node[field].as_f64().unwrap_or_default();
    let indent = "  ".repeat(depth);
    let rows = count("Actual Rows") * count("Actual Loops");
    lines.push(format!("{indent}{}: {rows:.0} rows, {} buffers", name(node), buffers(node)));
    // In the order of the plan, those of one kind together.
    let mut alike: Vec<(&str, Vec<&Value>)> = Vec::new();
    for node in below(node).iter().filter(|node| did_something(node)).map(bare) {
        let kind = node["Node Type"].as_str().unwrap_or_default();
        match alike.iter_mut().find(|(of, _)| *of == kind) {
            Some((_, nodes)) => nodes.push(node),
            None => alike.push((kind, vec![node])),
        }
    }
    for (kind, nodes) in alike {
        if nodes.len() > ALIKE_MAX {
            let all: u64 = nodes.iter().map(|node| buffers(node)).sum();
            let (first, last) = (name(nodes[0]), name(nodes[nodes.len() - 1]));
            lines.push(format!("{indent}  {} × {kind}: {all} buffers, from {first} to {last}", nodes.len()));
        } else {
            nodes.into_iter().for_each(|node| walk(node, depth + 1, lines));
        }
    }
}

fn below(node: &Value) -> &[Value] {
    node["Plans"].as_array().map_or(&[], Vec::as_slice)
}

/// It ran, and is more than the reading of a setting.
fn did_something(node: &Value) -> bool {
    let ran = node["Actual Loops"].as_f64().unwrap_or_default() > 0.0;
    ran && !(node["Parent Relationship"] == "InitPlan" && buffers(node) == 0)
}

/// A node without the checks of row-level security around it, which are nodes of their own.
fn bare(mut node: &Value) -> &Value {
    while node["Node Type"] == "Result"
        && let [only] = below(node)
    {
        node = only;
    }
    node
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_plans_among_other_lines() {
        let log = "2026-01-01 00:00:00.000 UTC [1] LOG:  checkpoint starting: time\n\
            2026-01-01 00:00:00.000 UTC [2] LOG:  duration: 0.052 ms  plan:\n\
            \t{\n\t  \"Query Text\": \"SELECT 1\\n  FROM x\",\n\t  \"Plan\": {\n\
            \t    \"Node Type\": \"Append\", \"Actual Rows\": 3, \"Actual Loops\": 1,\n\
            \t    \"Shared Hit Blocks\": 7, \"Shared Read Blocks\": 2, \"Plans\": [\n\
            \t      {\"Node Type\": \"Seq Scan\", \"Relation Name\": \"x_a\", \"Actual Rows\": 1, \"Actual Loops\": 0},\n\
            \t      {\"Node Type\": \"Index Scan\", \"Index Name\": \"i\", \"Relation Name\": \"x_b\", \"Actual Rows\": 1.5, \"Actual Loops\": 2, \"Shared Hit Blocks\": 7}\n\
            \t    ]\n\t  }\n\t}\n\
            2026-01-01 00:00:00.000 UTC [2] LOG:  duration: 0.052 ms  plan:\n\
            \t{ cut off\n\
            2026-01-01 00:00:00.000 UTC [1] LOG:  done\n";
        let found = parse(log);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].statement.as_str(), found[0].buffers), ("SELECT 1 FROM x", 9));
        assert_eq!(
            found[0].nodes,
            ["Append: 3 rows, 9 buffers", "  Index Scan using i on x_b: 3 rows, 7 buffers"],
            "what did not run is left out"
        );
        let again = together([found.clone(), found.clone()].concat());
        assert_eq!((again.len(), again[0].times), (1, 2));
        assert!(again[0].title().starts_with("2 × SELECT 1"));
    }

    #[test]
    fn many_alike_are_one_line() {
        let scan = |n: u32| serde_json::json!({ "Node Type": "Result", "Actual Loops": 1, "Shared Hit Blocks": 2, "Plans": [{ "Node Type": "Index Scan", "Relation Name": format!("x_{n}"), "Actual Loops": 1, "Shared Hit Blocks": 2 }] });
        let setting =
            serde_json::json!({ "Node Type": "Result", "Actual Loops": 1, "Parent Relationship": "InitPlan" });
        let plan = serde_json::json!({ "Node Type": "Append", "Actual Rows": 0, "Actual Loops": 1, "Shared Hit Blocks": 6,
            "Plans": [setting, scan(1), scan(2), scan(3)] });
        let mut lines = Vec::new();
        walk(&plan, 0, &mut lines);
        assert_eq!(
            lines,
            ["Append: 0 rows, 6 buffers", "  3 × Index Scan: 6 buffers, from Index Scan on x_1 to Index Scan on x_3"]
        );
    }
}
