//! Filling the tables: copies of a completed transfer, written by COPY as the superuser.
//!
//! Indexes and checks stay. Triggers and foreign keys are off for the load alone (`session_replication_role`), and so are
//! autovacuum and waiting for the disk at each commit; afterwards everything is vacuumed, analysed and written out.

use super::ground::Ground;
use super::kept::{Kept, Part};
use super::template::{Column, Origin, Row, Stored};
use crate::failure::Failure;
use futures_util::TryStreamExt;
use settla_domain::tenant::TenantNo;
use settla_domain::transfer::Transfer;
use settla_store::data::PARTITIONED;
use sqlx::{PgConnection, Row as _};
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Months before this one that stored transfers are spread over.
pub(super) const MONTHS: i64 = 24;
/// The youngest stored transfer is as old as this.
const YOUNGEST_MS: i64 = 3_600_000;
/// Transfers whose rows are one COPY a table: some megabytes.
const CHUNK: u64 = 5_000;
/// How often the progress is told.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// What an index entry takes, in bytes: an id or two, headers, and the page's free part.
const INDEX_ENTRY: f64 = 48.0;

/// One table's rows of a stored transfer.
struct Pattern {
    table: &'static str,
    columns: String,
    rows: Vec<Row>,
    /// What they take with their indexes, about.
    bytes: f64,
}

/// All that stored transfers are written from.
pub(super) struct Source {
    pub kept: Kept,
    origin: Origin,
    patterns: Vec<Pattern>,
    tenants: Vec<TenantNo>,
    /// The first instant that there is one of.
    oldest_ms: i64,
    youngest_ms: i64,
}

/// Some that were stored together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    pub from: u64,
    pub to: u64,
}

impl Source {
    /// The fullest form of which so many fit into so many bytes.
    pub async fn new(
        ground: &Ground,
        transfer: &Transfer,
        tenants: &[TenantNo],
        stored: u64,
        bytes_max: u64,
    ) -> Result<Self, Failure> {
        let mut superuser = ground.superuser().await?;
        let mut least = 0.0;
        for kept in Kept::ORDER {
            let source = Self::read(&mut superuser, transfer, tenants, kept).await?;
            least = source.bytes() * stored as f64;
            eprintln!(
                "{} of a transfer: {} rows, about {:.0} bytes; {stored} of them about {:.1} GiB",
                kept.words(),
                source.rows().values().sum::<usize>(),
                source.bytes(),
                least / GIB
            );
            if least <= bytes_max as f64 {
                return Ok(source);
            }
        }
        let least = least / GIB;
        let why = format!(
            "{stored} transfers take about {least:.1} GiB at the least, more than --disk-gib {}",
            bytes_max >> 30
        );
        Err(Failure::new(why))
    }

    async fn read(
        superuser: &mut PgConnection,
        transfer: &Transfer,
        tenants: &[TenantNo],
        kept: Kept,
    ) -> Result<Self, Failure> {
        let first = "SELECT min(sequence) AS first FROM
            (SELECT sequence FROM events WHERE subject = $1 ORDER BY sequence DESC LIMIT $2) e";
        let events = kept.parts().iter().find(|part| part.table == "events").map_or(0, |part| part.limit);
        let row = sqlx::query(first).bind(transfer.id.0).bind(i64::from(events)).fetch_one(&mut *superuser).await?;
        let origin =
            Origin { transfer: transfer.id.0, tenant: transfer.tenant.0, sequence: row.try_get::<i64, _>("first")? };
        let mut patterns = Vec::new();
        for part in kept.parts() {
            patterns.push(pattern(superuser, &part, &origin).await?);
        }
        let row = sqlx::query(
            "SELECT (extract(epoch FROM date_trunc('month', now()) - $1 * interval '1 month') * 1000)::bigint AS oldest",
        )
        .bind(MONTHS as f64)
        .fetch_one(superuser)
        .await?;
        let youngest_ms = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())? - YOUNGEST_MS;
        Ok(Self { kept, origin, patterns, tenants: tenants.to_vec(), oldest_ms: row.try_get("oldest")?, youngest_ms })
    }

    /// Rows of a transfer by table.
    pub fn rows(&self) -> BTreeMap<&'static str, usize> {
        self.patterns.iter().map(|pattern| (pattern.table, pattern.rows.len())).collect()
    }

    /// What a transfer takes, about.
    pub fn bytes(&self) -> f64 {
        self.patterns.iter().map(|pattern| pattern.bytes).sum()
    }

    fn events(&self) -> i64 {
        self.rows().get("events").map_or(0, |rows| *rows as i64)
    }

    /// A stored transfer of a range, but for its events' numbers. The later in its range, the younger.
    pub fn stored(&self, number: u64, range: Range) -> Stored {
        let span = i128::from(self.youngest_ms - self.oldest_ms);
        let passed = span * i128::from(number - range.from) / i128::from((range.to - range.from).max(1));
        Stored {
            number,
            tenant: self.tenants[(number % self.tenants.len() as u64) as usize].0,
            at_ms: self.oldest_ms + passed as i64,
            sequence: 0,
        }
    }

    /// The id of a stored transfer.
    pub fn id_of(&self, stored: &Stored) -> uuid::Uuid {
        self.origin.id_of(stored)
    }

    /// A moment half-way between the oldest and the youngest.
    pub fn middle_ms(&self) -> i64 {
        i64::midpoint(self.oldest_ms, self.youngest_ms)
    }
}

const GIB: f64 = (1_u64 << 30) as f64;

async fn pattern(superuser: &mut PgConnection, part: &Part, origin: &Origin) -> Result<Pattern, Failure> {
    let columns = sqlx::query(
        "SELECT attname::text AS name, atttypid = 'timestamptz'::regtype AS is_time FROM pg_attribute
         WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped AND attidentity = '' AND attgenerated = ''
         ORDER BY attnum",
    )
    .bind(part.table)
    .fetch_all(&mut *superuser)
    .await?;
    let (mut names, mut read, mut kinds) = (Vec::new(), Vec::new(), Vec::new());
    for column in &columns {
        let (name, is_time): (String, bool) = (column.try_get("name")?, column.try_get("is_time")?);
        let kind = match name.as_str() {
            _ if is_time => Column::Time,
            "tenant" => Column::Tenant,
            "reference" => Column::Reference,
            "sequence" => Column::Sequence,
            _ => Column::Other,
        };
        read.push(if is_time { format!("(extract(epoch FROM {name}) * 1000000)::bigint") } else { name.clone() });
        names.push(name);
        kinds.push(kind);
    }
    let rows = part.rows.replace("$transfer", &format!("'{}'", origin.transfer));
    let chosen = format!("FROM {} WHERE {rows} LIMIT {}", part.table, part.limit);
    let copy = format!("COPY (SELECT {} {chosen}) TO STDOUT", read.join(", "));
    let chunks: Vec<_> = superuser.copy_out_raw(&copy).await?.try_collect().await?;
    let text = String::from_utf8(chunks.concat())?;
    let rows: Option<Vec<Row>> = text.lines().map(|line| Row::parse(line, &kinds, origin)).collect();
    let rows = rows.ok_or_else(|| Failure::new(format!("rows of {} cannot be read back", part.table)))?;
    // Of a partitioned table, those of one partition: all have the same.
    let size = format!(
        "SELECT coalesce((SELECT sum(pg_column_size(t.*) + 4) FROM (SELECT * {chosen}) t), 0)::float8 AS bytes,
            (SELECT count(*) FROM pg_index WHERE indrelid = $1::text::regclass AND indpred IS NULL) AS indexes,
            coalesce((SELECT substring(option FROM '^fillfactor=(.*)')::float8 FROM pg_class, unnest(reloptions) option
                      WHERE oid IN ($1::text::regclass, to_regclass($1 || '_rest')) AND option LIKE 'fillfactor=%'), 100) AS fill"
    );
    let row = sqlx::query(&size).bind(part.table).fetch_one(superuser).await?;
    let (bytes, indexes, fill): (f64, i64, f64) =
        (row.try_get("bytes")?, row.try_get("indexes")?, row.try_get("fill")?);
    let bytes = bytes * 100.0 / fill + rows.len() as f64 * indexes as f64 * INDEX_ENTRY;
    Ok(Pattern { table: part.table, columns: names.join(", "), rows, bytes })
}

/// Makes the partitions of the months that are filled.
pub(super) async fn make_months(ground: &Ground) -> Result<(), Failure> {
    let mut superuser = ground.superuser().await?;
    sqlx::raw_sql("SET ROLE settla_owner").execute(&mut superuser).await?;
    for table in PARTITIONED {
        let make = format!(
            "SELECT make_partition('{table}', (date_trunc('month', now()) - n * interval '1 month')::date)
             FROM generate_series(0, {MONTHS}) n"
        );
        sqlx::raw_sql(&make).execute(&mut superuser).await?;
    }
    Ok(())
}

/// How long a load took.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(super) struct Filled {
    pub load_s: f64,
    pub vacuum_s: f64,
}

/// Stores a range.
pub(super) async fn fill(ground: &Ground, source: &Source, range: Range) -> Result<Filled, Failure> {
    let begun = Instant::now();
    let mut superuser = ground.superuser().await?;
    autovacuum(&mut superuser, "off").await?;
    let mut numbers = event_numbers(&mut superuser).await?;
    load(ground, source, range, &mut numbers).await?;
    for (tenant, number) in &numbers {
        sqlx::query("UPDATE tenant_locks SET event_sequence = $2 WHERE tenant = $1 AND event_sequence <> $2")
            .bind(i32::try_from(*tenant)?)
            .bind(number)
            .execute(&mut superuser)
            .await?;
    }
    let load_s = begun.elapsed().as_secs_f64();
    eprintln!("vacuuming");
    for table in source.patterns.iter().map(|pattern| pattern.table).chain(["tenant_locks"]) {
        sqlx::raw_sql(&format!("VACUUM (ANALYZE) {table}")).execute(&mut superuser).await?;
    }
    sqlx::raw_sql("CHECKPOINT").execute(&mut superuser).await?;
    autovacuum(&mut superuser, "on").await?;
    Ok(Filled { load_s, vacuum_s: begun.elapsed().as_secs_f64() - load_s })
}

async fn autovacuum(superuser: &mut PgConnection, value: &str) -> Result<(), Failure> {
    for statement in [&format!("ALTER SYSTEM SET autovacuum = {value}"), "SELECT pg_reload_conf()"] {
        sqlx::raw_sql(statement).execute(&mut *superuser).await?;
    }
    Ok(())
}

/// The number of the last event by tenant.
async fn event_numbers(superuser: &mut PgConnection) -> Result<BTreeMap<u32, i64>, Failure> {
    let rows = sqlx::query("SELECT tenant, event_sequence FROM tenant_locks").fetch_all(superuser).await?;
    rows.iter().map(|r| Ok((u32::try_from(r.try_get::<i32, _>(0)?)?, r.try_get(1)?))).collect()
}

async fn load(ground: &Ground, source: &Source, range: Range, numbers: &mut BTreeMap<u32, i64>) -> Result<(), Failure> {
    let mut sessions = [ground.superuser().await?, ground.superuser().await?];
    for session in &mut sessions {
        sqlx::raw_sql("SET session_replication_role = replica; SET synchronous_commit = off")
            .execute(&mut *session)
            .await?;
    }
    let [one, other] = &mut sessions;
    let (first, second) = source.patterns.split_at(2);
    let (begun, mut told) = (Instant::now(), Instant::now());
    let mut from = range.from;
    while from < range.to {
        let to = (from + CHUNK).min(range.to);
        let mut chunk = Vec::with_capacity(CHUNK as usize);
        for number in from..to {
            let mut stored = source.stored(number, range);
            let last = numbers.entry(stored.tenant).or_default();
            stored.sequence = *last + 1;
            *last += source.events();
            chunk.push(stored);
        }
        tokio::try_join!(copy(one, first, &chunk), copy(other, second, &chunk))?;
        from = to;
        if told.elapsed() >= TELL_EVERY || from == range.to {
            told = Instant::now();
            let per_s = (from - range.from) as f64 / begun.elapsed().as_secs_f64();
            eprintln!("{from} of {} stored, {per_s:.0} a second", range.to);
        }
    }
    Ok(())
}

async fn copy(session: &mut PgConnection, patterns: &[Pattern], chunk: &[Stored]) -> Result<(), Failure> {
    for pattern in patterns.iter().filter(|pattern| !pattern.rows.is_empty()) {
        let mut text = Vec::new();
        for stored in chunk {
            for row in &pattern.rows {
                row.write(stored, &mut text);
            }
        }
        let mut copy = session.copy_in_raw(&format!("COPY {} ({}) FROM STDIN", pattern.table, pattern.columns)).await?;
        copy.send(text).await?;
        copy.finish().await?;
    }
    Ok(())
}

/// A table with its indexes and months.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(super) struct Size {
    /// As the vacuum has counted or estimated them.
    pub rows: i64,
    pub bytes: i64,
}

/// The tables that are filled.
pub(super) async fn sizes(ground: &Ground, source: &Source) -> Result<BTreeMap<String, Size>, Failure> {
    let rows = sqlx::query(
        "SELECT coalesce(p.relname, c.relname)::text AS name, sum(greatest(c.reltuples, 0))::bigint AS rows,
             sum(pg_total_relation_size(c.oid))::bigint AS bytes
         FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class p ON p.oid = i.inhparent
         WHERE c.relnamespace = 'settla'::regnamespace AND c.relkind = 'r' AND coalesce(p.relname, c.relname) = ANY ($1)
         GROUP BY 1",
    )
    .bind(source.patterns.iter().map(|pattern| pattern.table).collect::<Vec<_>>())
    .fetch_all(&mut ground.superuser().await?)
    .await?;
    let mut sizes = BTreeMap::new();
    for row in &rows {
        sizes.insert(row.try_get("name")?, Size { rows: row.try_get("rows")?, bytes: row.try_get("bytes")? });
    }
    Ok(sizes)
}
