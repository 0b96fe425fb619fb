//! Colour and tables on a terminal, plain text elsewhere.

use std::io::IsTerminal;

fn coloured(code: &str, text: &str) -> String {
    let wanted = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    if wanted { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// For what went well.
pub fn green(text: &str) -> String {
    coloured("32", text)
}

/// For what went wrong.
pub fn red(text: &str) -> String {
    coloured("31", text)
}

/// For what matters.
pub fn bold(text: &str) -> String {
    coloured("1", text)
}

/// For what is aside.
pub fn dim(text: &str) -> String {
    coloured("2", text)
}

/// Prints rows in columns as wide as their widest cell. The first row is the head.
pub fn table(rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |i: usize| rows.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for (n, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(c, w)| format!("{c}{}", " ".repeat(w.saturating_sub(c.chars().count()))))
            .collect();
        let line = format!("  {}", cells.join("  ").trim_end());
        println!("{}", if n == 0 { dim(&line) } else { line });
    }
}
