//! Every bound of the gateway in one place.

use std::time::Duration;

/// How much and how long. The defaults are for production; tests make them small.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest body of a request.
    pub body_bytes_max: usize,
    /// Largest head of a request (request line and headers); at least 8 KiB.
    pub head_bytes_max: usize,
    /// Most headers of a request.
    pub headers_max: usize,
    /// Requests in work at once; the next is refused with 503. Liveness probes are not counted.
    pub requests_max: usize,
    /// Connections open at once; the next waits in the listener's queue.
    pub connections_max: usize,
    /// Longest time for a request's head to arrive, the idle time before it included.
    pub head_time_max: Duration,
    /// Longest time for a body to arrive.
    pub body_time_max: Duration,
    /// Longest time from admission to answer.
    pub request_time_max: Duration,
    /// Age at which a connection is closed after the request it is in. Bounds a client that reads its answers slowly.
    pub connection_age_max: Duration,
    /// How long requests may run on after the stop, or after their connection became too old.
    pub drain_time_max: Duration,
    /// Longest time for a world to answer a readiness check.
    pub readiness_time_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 64 * 1024,
            head_bytes_max: 32 * 1024,
            headers_max: 100,
            requests_max: 2_048,
            connections_max: 8_192,
            head_time_max: Duration::from_secs(20),
            body_time_max: Duration::from_secs(5),
            request_time_max: Duration::from_secs(15),
            connection_age_max: Duration::from_secs(300),
            drain_time_max: Duration::from_secs(20),
            readiness_time_max: Duration::from_secs(2),
        }
    }
}
