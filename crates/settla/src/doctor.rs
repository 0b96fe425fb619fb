//! `settla doctor`.

use crate::failure::Failure;
use crate::ui;
use settla_devkit::doctor::{CheckState, all_ok, checks};

/// Options of `settla doctor`.
#[derive(clap::Args)]
pub struct Args {
    /// For machines.
    #[arg(long)]
    json: bool,
}

/// Tells what is there, what is missing, and how to mend it.
pub fn run(args: Args) -> Result<(), Failure> {
    let checks = checks();
    if args.json {
        let rows: Vec<_> = checks
            .iter()
            .map(|c| serde_json::json!({"name": c.name, "ok": c.state == CheckState::Ok, "found": c.found, "fix": c.fix}))
            .collect();
        println!("{}", serde_json::Value::Array(rows));
    } else {
        for check in &checks {
            let mark = if check.state == CheckState::Ok { ui::green("ok     ") } else { ui::red("missing") };
            println!("  {mark}  {:<22} {}", check.name, check.found);
            if check.state != CheckState::Ok {
                println!("           {}", ui::bold(check.fix));
            }
        }
    }
    if all_ok(&checks) {
        Ok(())
    } else {
        Err(Failure::new("something is missing").try_next("`make setup` installs what can be installed"))
    }
}
