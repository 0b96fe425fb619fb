//! What each role may do with each table. Who adds a table or a privilege states it here.

use std::collections::BTreeMap;

/// Privileges by table and role. Before the colon: whose rows, `own` those of the transaction's tenant (app) or
/// tenants (runner), `all` those of every tenant, `old` those of every tenant that need not be kept any more, nothing where the table knows no tenants.
const EXPECTED: &str = "
access_revision
    auth     : select update(revision)
    app      : select
    auditor  : select
api_keys
    app      own: select insert update(retires_at,revoked_at)
    operator all: select insert update(expires_at,revoked_at)
    auth     all: select update(hash,hash_version,last_used_at)
audit_log
    runner   own: insert
    app      own: insert
    operator all: select insert
    auditor  all: select
bank_entries
    runner   : select insert
    auditor  : select
checkpoints
    worker   : select insert update(value)
    auditor  : select
commit_markers
    runner   : select insert
    worker   : select delete
    auditor  : select
events
    runner   own: insert
    app      own: select
    worker   all: select
    auditor  all: select
fee_schedules
    runner   own: select
    app      own: select
    operator all: select insert update delete
    auditor  all: select
idempotency
    runner   own: select insert
    app      own: select insert
    worker   old: select delete
    auditor  all: select
ledger_checkpoints
    app      own: select
    reconciler all: select insert
    auditor  all: select
ledger_folds
    reconciler all: select insert update(days,max_at,sequence,sums,unmarked)
    auditor  all: select
limits
    runner   own: select
    app      own: select
    operator all: select insert update delete
    auditor  all: select
outbox
    runner   own: select insert update(attempts,first_attempt_at,lease_until,next_at,status)
    worker   all: select update(attempts,epoch,failures,first_attempt_at,lease_until,next_at,set_aside,status)
    auditor  all: select
personal_data
    runner   own: insert
    payer    own: select
positions
    runner   own: select insert update(available,held,in_transit,usage_day,usage_day_total,usage_pending)
    app      own: select
    auditor  all: select
postings
    runner   own: insert
    app      own: select
    auditor  all: select
provider_minutes
    app      : select
    worker   : select insert update(failed,milliseconds,succeeded) delete
    auditor  : select
provider_events
    worker   : select insert update(attempts,next_at,processed) delete
    auditor  : select
quotes
    runner   own: select insert update(used)
    app      own: select
    worker   old: select delete
    auditor  all: select
reconciliation_breaks
    reconciler all: select insert update(currency,detail,last_seen,opened_at,ours,resolved_at,subject,theirs) delete
    auditor  all: select
reconciliation_cursors
    reconciler : select insert update(value)
    auditor  : select
reconciliation_items
    reconciler all: select insert update(ours,subject,theirs) delete
    auditor  all: select
reconciliation_rounds
    reconciler : select update(completed_at,next_at,number)
    auditor  : select
review_proposals
    operator all: select insert update(closed_at,closed_by,status)
    auditor  all: select
settlement_members
    app      own: select
    worker   all: select insert update(released)
    auditor  all: select
settlement_transactions
    app      : select
    worker   : select insert
    auditor  : select
settlements
    app      : select
    worker   : select insert update(failure,final,nonce,status,tx_hash,updated_at)
    auditor  : select
shared_facts
    operator : select insert
    auditor  : select
statement_lines_set_aside
    worker   : select insert update(replay,resolved_at)
    auditor  : select
switched_off
    app      : select
    operator : select insert update(at,by,reason) delete
    auditor  : select
tenant_locks
    auth     all: select update(terms_revision)
    runner   own: select update(event_sequence)
    operator all: select insert
    auditor  all: select
tenants
    runner   own: select
    app      own: select
    operator all: select insert update(name,other_per_minute,quotes_per_minute,spread_bps,status,transfers_per_minute,treasury_reads_per_minute)
    auditor  all: select
    auth     all: select
topups
    runner   own: select insert update(credited)
    app      own: select
    auditor  all: select
    auth     all: select
transfers
    runner   own: select insert update(progress,state,updated_at,version)
    app      own: select
    auditor  all: select
webhook_attempts
    app      own: select
    worker   all: select insert
    auditor  all: select
webhook_deliveries
    runner   own: insert
    app      own: select insert update(status)
    worker   all: select update(attempts,lease_until,next_at,status)
    auditor  all: select
webhook_endpoints
    runner   own: select
    app      own: select insert update(events,old_secret_sealed,old_secret_until,secret_sealed,status,url)
    worker   all: select update(old_secret_sealed,old_secret_until,status)
    auditor  all: select
webhook_redeliveries
    app      own: select insert
    auditor  all: select
withdrawals
    runner   own: select insert update(failure,state,updated_at)
    app      own: select
    auditor  all: select
";

/// All roles of ours.
pub const ROLES: [&str; 9] = ["app", "auditor", "auth", "operator", "owner", "payer", "reconciler", "runner", "worker"];

/// Those that work: all but the owner of the tables, as which nothing runs but migrations.
pub const WORKING: [&str; 8] = ["app", "auditor", "auth", "operator", "payer", "reconciler", "runner", "worker"];

/// Whose rows a role may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Whose {
    Own,
    All,
    Old,
    #[default]
    Nobodys,
}

/// [`EXPECTED`], by table and role.
pub fn expected() -> BTreeMap<&'static str, BTreeMap<&'static str, (Whose, &'static str)>> {
    let mut tables: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    let mut table = "";
    for line in EXPECTED.lines().filter(|line| !line.is_empty()) {
        if !line.starts_with(' ') {
            table = line;
            tables.insert(table, BTreeMap::new());
            continue;
        }
        let (who, privileges) = line.split_once(": ").unwrap();
        let (role, whose) = who.trim_start().split_once(' ').unwrap();
        let whose = match whose.trim() {
            "own" => Whose::Own,
            "all" => Whose::All,
            "old" => Whose::Old,
            _ => Whose::Nobodys,
        };
        tables.get_mut(table).unwrap().insert(role, (whose, privileges));
    }
    tables
}
