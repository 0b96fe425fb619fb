//! From the document to HTML.

use std::fmt::Write;

use serde_json::Value;

/// Renders the page. Everything in the document is escaped, our own text too.
pub(super) fn render(document: &Value, style: &str) -> String {
    let mut menu = String::new();
    let mut body = String::new();
    let tags = document["tags"].as_array().into_iter().flatten().filter_map(|tag| tag["name"].as_str());
    for tag in tags {
        let _ = write!(menu, "<strong>{}</strong>", escape(tag));
        let _ = write!(body, "<h2>{}</h2>", escape(tag));
        for (path, method, operation) in operations(document, tag) {
            let id = escape(operation["operationId"].as_str().unwrap_or_default());
            let summary = escape(operation["summary"].as_str().unwrap_or_default());
            let _ = write!(menu, "<a href=\"#{id}\">{summary}</a>");
            article(&mut body, document, path, method, operation);
        }
    }
    body.push_str("<h2>Schemas</h2>");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        let _ = write!(
            body,
            "<details id=\"schema-{0}\"><summary><code>{0}</code> {1}</summary><pre><code>{2}</code></pre></details>",
            escape(name),
            escape(schema["description"].as_str().unwrap_or_default()),
            escape(&pretty(schema)),
        );
    }
    let title = escape(document["info"]["title"].as_str().unwrap_or_default());
    let about = prose(document["info"]["description"].as_str().unwrap_or_default());
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><title>{title}</title><style>{style}</style></head><body>\
         <nav>{menu}<p><a href=\"/v1/openapi.json\">openapi.json</a></p></nav><main><h1>{title}</h1>{about}{body}</main>\
         </body></html>"
    )
}

/// The operations of a group: path, method, operation.
fn operations<'a>(document: &'a Value, tag: &'a str) -> impl Iterator<Item = (&'a str, &'a str, &'a Value)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths.flat_map(move |(path, item)| {
        let methods = item.as_object().into_iter().flatten();
        methods
            .filter(move |(_, operation)| operation["tags"][0] == tag)
            .map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

fn article(out: &mut String, document: &Value, path: &str, method: &str, operation: &Value) {
    let method = method.to_ascii_uppercase();
    let _ = write!(
        out,
        "<article id=\"{}\"><h3>{}</h3><p><span class=\"method\">{method}</span> <code>{}</code> <span class=\"scope\">{}</span></p>{}",
        escape(operation["operationId"].as_str().unwrap_or_default()),
        escape(operation["summary"].as_str().unwrap_or_default()),
        escape(path),
        escape(&scope(operation)),
        prose(operation["description"].as_str().unwrap_or_default()),
    );
    parameters(out, operation);
    if let Some(content) = operation.pointer("/requestBody/content/application~1json") {
        example(out, "Request", content);
    }
    out.push_str("<table>");
    for (status, response) in operation["responses"].as_object().into_iter().flatten() {
        let response = resolve(document, response);
        let about = inline(response["description"].as_str().unwrap_or_default());
        let _ = write!(out, "<tr><td><code>{}</code></td><td>{about}</td></tr>", escape(status));
    }
    out.push_str("</table>");
    for (status, response) in operation["responses"].as_object().into_iter().flatten() {
        if let Some(content) = response.pointer("/content/application~1json") {
            example(out, &format!("Answer {status}"), content);
        }
    }
    out.push_str("</article>");
}

fn scope(operation: &Value) -> String {
    match operation.pointer("/security/0/apiKey/0").and_then(Value::as_str) {
        Some(scope) => format!("API key with scope {scope}"),
        None => "no API key".to_owned(),
    }
}

fn parameters(out: &mut String, operation: &Value) {
    // On every operation alike, and explained once above.
    let rows: Vec<_> = operation["parameters"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|parameter| parameter["name"] != "x-request-id")
        .collect();
    if rows.is_empty() {
        return;
    }
    out.push_str("<table>");
    for parameter in rows {
        let need = if parameter["required"] == true { "required" } else { "optional" };
        let _ = write!(
            out,
            "<tr><td><code>{}</code></td><td>{}, {need}</td><td>{}</td></tr>",
            escape(parameter["name"].as_str().unwrap_or_default()),
            escape(parameter["in"].as_str().unwrap_or_default()),
            inline(parameter["description"].as_str().unwrap_or_default()),
        );
    }
    out.push_str("</table>");
}

fn example(out: &mut String, title: &str, content: &Value) {
    let schema = content["schema"]["$ref"].as_str().and_then(|target| target.rsplit('/').next()).map(escape);
    let link = schema.map_or_else(String::new, |name| format!(" <a href=\"#schema-{name}\"><code>{name}</code></a>"));
    let shown = content.get("example").map_or_else(String::new, pretty);
    let _ = write!(
        out,
        "<details><summary>{}{link}</summary><pre><code>{}</code></pre></details>",
        escape(title),
        escape(&shown)
    );
}

/// Follows a reference within the document.
fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let target = value["$ref"].as_str().and_then(|target| target.strip_prefix('#'));
    target.and_then(|pointer| document.pointer(pointer)).unwrap_or(value)
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// Paragraphs.
fn prose(text: &str) -> String {
    text.split("\n\n").filter(|part| !part.is_empty()).map(|part| format!("<p>{}</p>", inline(part))).collect()
}

/// Text with `code` and **strong** in it.
fn inline(text: &str) -> String {
    let mut out = String::new();
    for (index, part) in escape(text).split('`').enumerate() {
        if index % 2 == 1 {
            let _ = write!(out, "<code>{part}</code>");
            continue;
        }
        for (index, part) in part.split("**").enumerate() {
            let _ = if index % 2 == 1 { write!(out, "<strong>{part}</strong>") } else { write!(out, "{part}") };
        }
    }
    out
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
