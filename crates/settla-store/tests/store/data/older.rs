//! A database from before the tables were partitioned.

use super::{number, run, superuser, text};
use crate::support::{check::assert_books, open};
use settla_devkit::TestDatabase;
use settla_store::data::PARTITIONED;
use sqlx::PgConnection;
use sqlx::postgres::PgPoolOptions;

const PARTITIONING: i64 = 11;

/// Rows of three months, one from long ago, and ids without a time.
const ROWS: &str = "
    INSERT INTO tenants (tenant, public_id, slug, name, status, spread_bps, dek_wrapped)
        VALUES (1, gen_random_uuid(), 'acme', 'acme', 'active', 1, '');
    INSERT INTO tenant_locks VALUES (1, 40);
    INSERT INTO positions VALUES (1, 'GBP', 40, 0, 0, 0, 0, 0);
    CREATE TEMPORARY TABLE ids AS SELECT n, n % 4 AS month, CASE WHEN n % 10 = 9
        THEN overlay(overlay(gen_random_uuid()::text PLACING '8' FROM 15) PLACING 'f' FROM 1)::uuid
        ELSE overlay(lpad(to_hex((extract(epoch FROM now() - CASE n WHEN 1 THEN interval '3 years' ELSE n % 4 * interval '31 days' END) * 1000)::bigint), 12, '0')
             || substr(replace(gen_random_uuid()::text, '-', ''), 13) PLACING '7' FROM 13)::uuid END AS id
        FROM generate_series(1, 40) n;
    INSERT INTO postings (id, tenant, subject, code, debit, credit, currency, amount, at)
        SELECT id, 1, id, 1, '00000000-0004-0000-0000-000000000000', '00000001-0001-0000-0000-000000000000', 'GBP', 1, now() FROM ids ORDER BY n;
    INSERT INTO outbox (id, tenant, subject, kind, payload, status, next_at, created_at) SELECT id, 1, id, 'settle', '{}', 'done', now(), now() FROM ids;
    INSERT INTO events SELECT 1, n, id, id, 'test', '{}', now() FROM ids;
    INSERT INTO audit_log SELECT id, 1, now(), 'a', 'b', 'c', NULL, '{}' FROM ids";

/// Everything that a table has but its rows; of its primary key only that there is one.
async fn rules(superuser: &mut PgConnection, table: &str) -> String {
    let statement = "SELECT concat_ws(E'\\n',
        (SELECT string_agg(concat_ws(' ', attname, format_type(atttypid, atttypmod), attnotnull, attidentity,
            pg_get_expr(adbin, adrelid), array_to_string(ARRAY(SELECT unnest(attacl)::text ORDER BY 1), ',')), E'\\n' ORDER BY attnum)
         FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped),
        (SELECT concat_ws(' ', relowner::regrole, relrowsecurity, relforcerowsecurity, array_to_string(ARRAY(SELECT unnest(relacl)::text ORDER BY 1), ',')) FROM pg_class WHERE oid = $1),
        (SELECT string_agg(replace(replace(pg_get_indexdef(indexrelid), ' ONLY', ''), ' UNIQUE', ''), E'\\n' ORDER BY indexrelid::regclass::text)
         FROM pg_index WHERE indrelid = $1 AND NOT indisprimary),
        (SELECT string_agg(conname || pg_get_constraintdef(oid), E'\\n' ORDER BY conname) FROM pg_constraint WHERE conrelid = $1 AND contype = 'c'),
        (SELECT string_agg(pg_get_triggerdef(oid), E'\\n' ORDER BY tgname) FROM pg_trigger WHERE tgrelid = $1 AND NOT tgisinternal AND tgname <> 'numbered'),
        (SELECT string_agg(concat_ws(' ', policyname, permissive, roles, cmd, qual, with_check), E'\\n' ORDER BY policyname) FROM pg_policies WHERE tablename = $2))";
    let statement = statement.replace("$1", &format!("'{table}'::regclass")).replace("$2", &format!("'{table}'"));
    text(superuser, &statement).await
}

async fn migrate_to(database: &TestDatabase, version: i64) {
    let pool = PgPoolOptions::new().max_connections(1).connect(database.url()).await.unwrap();
    let mut migrations = sqlx::migrate!("./migrations");
    migrations.migrations = migrations.migrations.iter().filter(|m| m.version <= version).cloned().collect();
    migrations.run(&pool).await.unwrap();
    pool.close().await;
}

#[tokio::test]
async fn an_older_databases_rows_and_rules_come_along() {
    let database = TestDatabase::create().await.unwrap();
    migrate_to(&database, PARTITIONING - 1).await;
    let mut superuser = superuser(&database).await;
    run(&mut superuser, ROWS).await;
    let mut old = Vec::new();
    let rows = |table: &str| format!("SELECT string_agg(t::text, E'\\n' ORDER BY id) FROM {table} t");
    for table in PARTITIONED {
        old.push((rules(&mut superuser, table).await, text(&mut superuser, &rows(table)).await));
    }

    // What later ones change is not this one's.
    migrate_to(&database, PARTITIONING).await;
    for (table, (old_rules, old_rows)) in PARTITIONED.iter().zip(old) {
        let mut new_rules = rules(&mut superuser, table).await;
        if *table == "events" {
            // Its primary key was its number.
            let index = "CREATE INDEX events_by_number ON settla.events USING btree (tenant, sequence)\n";
            assert!(new_rules.contains(index), "{new_rules}");
            new_rules = new_rules.replace(index, "");
        }
        assert_eq!(new_rules, old_rules, "{table}");
        assert_eq!(text(&mut superuser, &rows(table)).await, old_rows, "{table}");
        assert_eq!(number(&mut superuser, &format!("SELECT count(*) FROM {table}_rest")).await, 4, "{table}");
        let months =
            number(&mut superuser, &format!("SELECT count(*) FROM pg_inherits WHERE inhparent = '{table}'::regclass"))
                .await;
        assert!((8..=10).contains(&months), "{table} has {months} partitions");
    }
    let store = open(database.url()).await;
    // Numbers go on where they were.
    assert_eq!(number(&mut superuser, "SELECT nextval(pg_get_serial_sequence('postings', 'sequence'))").await, 41);
    assert_books(&store).await;
}
