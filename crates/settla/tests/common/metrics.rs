//! What a running system says of itself to Prometheus.

use settla::local::System;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One scrape.
pub struct Scrape {
    /// As it came.
    pub text: String,
    /// When, in seconds.
    pub at_s: f64,
}

impl Scrape {
    /// Series as Prometheus writes them, with their values.
    pub fn series(&self) -> impl Iterator<Item = (&str, f64)> {
        let lines = self.text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
            (series, value.parse().unwrap_or_else(|_| panic!("{line}")))
        })
    }

    /// A series' value.
    pub fn get(&self, series: &str) -> Option<f64> {
        self.series().find(|(name, _)| *name == series).map(|(_, value)| value)
    }
}

pub async fn scrape(system: &System) -> Scrape {
    let response = reqwest::get(&system.facts.metrics).await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    let text = response.text().await.unwrap();
    Scrape { text, at_s: SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() }
}

/// Scrapes until a series has a value that fits.
pub async fn wait_until(system: &System, series: &str, fits: impl Fn(f64) -> bool) -> Scrape {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let scrape = scrape(system).await;
        let value = scrape.get(series);
        if value.is_some_and(&fits) {
            return scrape;
        }
        assert!(Instant::now() < deadline, "{series} is still {value:?}");
        // Prometheus asks; nothing tells it.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
