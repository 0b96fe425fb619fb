//! Pages. A cursor is opaque, authenticated, and bound to the tenant, the list and its filter.

use serde::Serialize;
use utoipa::ToSchema;

/// Most items of a page.
pub const PAGE_SIZE_MAX: u16 = 200;

/// Which page is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// 1 to [`PAGE_SIZE_MAX`].
    pub limit: u16,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Page<T> {
    /// The items.
    pub data: Vec<T>,
    /// Ask with it for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}
