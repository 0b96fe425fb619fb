//! Everything that the platform has written and kept.

use crate::common::search::Place;
use sqlx::{Connection, PgConnection, Row};
use std::path::Path;

/// Every row of every table, as a superuser sees them.
pub async fn tables(database_url: &str) -> Vec<Place> {
    let mut database = PgConnection::connect(database_url).await.unwrap();
    let names = "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')";
    let mut places = Vec::new();
    for row in sqlx::query(names).fetch_all(&mut database).await.unwrap() {
        let name: String = row.get("name");
        let rows = sqlx::query(&format!("SELECT t::text AS row FROM {name} t")).fetch_all(&mut database).await.unwrap();
        let text: Vec<String> = rows.iter().map(|r| r.get("row")).collect();
        places.push(Place { name: format!("table {name}"), bytes: text.join("\n").into_bytes() });
    }
    assert!(places.len() > 20, "there are more tables");
    places
}

/// Every file that the platform and what it runs have written: logs, keys, the chain, the database's own files
/// with what was deleted from them. Not the outside world's, and not the secrets that a local system keeps on
/// purpose.
pub fn files(folder: &Path, places: &mut Vec<Place>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() && name != "sandbox" {
            files(&path, places);
        } else if kind.is_file()
            && !matches!(name.as_str(), "secrets.json" | "sandbox-keys.json" | "tenants.json" | "dev.json")
        {
            match std::fs::read(&path) {
                Ok(bytes) => places.push(Place { name: path.display().to_string(), bytes }),
                // The database removes files as it goes.
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{}", path.display()),
            }
        }
    }
}

pub fn named<'a>(places: &'a [Place], end: &str) -> &'a Place {
    places.iter().find(|place| place.name.ends_with(end)).unwrap_or_else(|| panic!("no {end} was searched"))
}
