//! One row of the route table: what is served, to whom, and how it is documented.

use std::sync::Arc;

use axum::handler::Handler;
use axum::http::{Method, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, any, on};
use settla_domain::refusal::Refusal;
use settla_port::caller::Scope;
use settla_port::rate_limit::RateClass;
use utoipa::ToSchema;

use crate::admission::{Gate, Param, guard};
use crate::body::JsonBody;
use crate::gateway::Shared;
use crate::openapi::{Content, TypeDoc};

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// A key with this scope.
    Key(Scope),
    /// A provider, which signs what it sends; the port verifies it.
    Signed,
    /// Anybody; shows nothing of a tenant.
    Public,
    /// Anybody, and not refused under load: a full process is alive.
    Probe,
}

/// A row of the table, as far as it concerns others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteInfo {
    /// The method.
    pub method: Method,
    /// The path template.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// Whether it changes anything: then it needs an `Idempotency-Key`.
    pub mutates: bool,
}

/// A row of the table.
pub(crate) struct Endpoint {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    pub(crate) mutates: bool,
    pub(crate) class: RateClass,
    pub(crate) query: &'static [Param],
    pub(crate) docs: Docs,
    handler: MethodRouter<Arc<Shared>>,
}

/// The documentation of a row.
#[derive(Default)]
pub(crate) struct Docs {
    pub(crate) operation: &'static str,
    pub(crate) tag: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) about: &'static str,
    pub(crate) takes: Option<(TypeDoc, &'static str)>,
    pub(crate) gives: Option<(StatusCode, Content)>,
    pub(crate) located: bool,
    pub(crate) refuses: &'static [Refusal],
}

/// Starts a row.
pub(crate) fn endpoint<T: 'static>(
    method: Method,
    path: &'static str,
    access: Access,
    handler: impl Handler<T, Arc<Shared>>,
) -> Endpoint {
    let handler = match MethodFilter::try_from(method.clone()) {
        Ok(filter) => on(filter, handler),
        // Not one of our methods has no filter; such a row would answer to all of them and be seen at once.
        Err(_) => any(handler),
    };
    // Anything that is not a plain read counts as a change, unless its row says otherwise.
    let mutates = !matches!(method, Method::GET | Method::HEAD);
    Endpoint { method, path, access, mutates, class: RateClass::Other, query: &[], docs: Docs::default(), handler }
}

impl Endpoint {
    /// Operation id, group and one line.
    pub(crate) fn named(mut self, operation: &'static str, tag: &'static str, summary: &'static str) -> Self {
        self.docs = Docs { operation, tag, summary, ..self.docs };
        self
    }

    /// More than one line.
    pub(crate) fn about(mut self, about: &'static str) -> Self {
        self.docs.about = about;
        self
    }

    /// It asks with a body, and changes nothing.
    pub(crate) fn asks(mut self) -> Self {
        self.mutates = false;
        self
    }

    /// What it counts as against the tenant's requests a minute.
    pub(crate) fn counts_as(mut self, class: RateClass) -> Self {
        self.class = class;
        self
    }

    /// The query parameters; all others are refused.
    pub(crate) fn query(mut self, query: &'static [Param]) -> Self {
        self.query = query;
        self
    }

    /// The body and an example of it.
    pub(crate) fn takes<T: JsonBody + ToSchema>(mut self, example: &'static str) -> Self {
        self.docs.takes = Some((TypeDoc::of::<T>(), example));
        self
    }

    /// The answer.
    pub(crate) fn gives(mut self, status: StatusCode, content: Content) -> Self {
        self.docs.gives = Some((status, content));
        self
    }

    /// The answer says in `Location` where the new thing is.
    pub(crate) fn located(mut self) -> Self {
        self.docs.located = true;
        self
    }

    /// The business refusals to be expected.
    pub(crate) fn refuses(mut self, refusals: &'static [Refusal]) -> Self {
        self.docs.refuses = refusals;
        self
    }

    /// The handler behind what the row asks for. There is no other way to get at it.
    pub(crate) fn admitted(self, shared: &Arc<Shared>) -> MethodRouter<Arc<Shared>> {
        let Self { access, class, query, mutates, .. } = self;
        let gate = Gate { shared: shared.clone(), access, class, query, mutates };
        self.handler.route_layer(from_fn_with_state(gate, guard))
    }
}
