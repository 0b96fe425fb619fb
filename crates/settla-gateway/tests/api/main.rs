//! The REST interface over a real listener, with a recording double of the port behind it. Laid out like the API:
//! `v1/` and `webhooks/` by path, `policy/` for what holds on all of them.

mod docs;
mod health;
mod policy;
mod support;
mod v1;
mod webhooks;
