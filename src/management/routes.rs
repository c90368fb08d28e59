//! The routes, as they are put together: each names its method, its path, who may use it, and what answers.
//!
//! ```text
//! request -> path without its last slash -> route -> not of a foreign page -> login -> Need -> handler
//! ```
//! There is no other way to add a route, so none can be without its [`Need`].

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::{ConnectInfo, RawPathParams, Request, State};
use axum::handler::Handler;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use serde::Serialize;

use super::answer::{self, Refusal};
use super::cookie::{self, Token};
use super::live;
use super::login::{Credentials, User, is_over_socket};
use super::site::Api;
use super::vhosts;

/// Who may use a route. Administrators may use all of them. The refusals are RabbitMQ's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// Nobody has to log in.
    Nothing,
    /// Whoever may log in here.
    Management,
    /// Who may see the vhost of the path: those that may enter it, and monitors.
    SeeVhost,
    /// Who may enter the vhost of the path.
    EnterVhost,
    /// Policymakers that may enter the vhost of the path, if it names one.
    Policymaker,
    Monitoring,
    Administrator,
}

/// What a route is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Route {
    pub method: &'static str,
    pub path: &'static str,
    pub need: Need,
}

/// Routes that are being put together.
pub struct Routes {
    router: Router<Api>,
    api: Api,
    listed: Vec<Route>,
}

impl Routes {
    pub fn new(api: Api) -> Routes {
        Routes { router: Router::new(), api, listed: Vec::new() }
    }

    /// HEAD comes with it.
    pub fn get<H, T>(self, path: &'static str, need: Need, handler: H) -> Routes
    where
        H: Handler<T, Api>,
        T: 'static,
    {
        self.add(MethodFilter::GET, Route { method: "GET", path, need }, handler)
    }

    pub fn put<H, T>(self, path: &'static str, need: Need, handler: H) -> Routes
    where
        H: Handler<T, Api>,
        T: 'static,
    {
        self.add(MethodFilter::PUT, Route { method: "PUT", path, need }, handler)
    }

    pub fn post<H, T>(self, path: &'static str, need: Need, handler: H) -> Routes
    where
        H: Handler<T, Api>,
        T: 'static,
    {
        self.add(MethodFilter::POST, Route { method: "POST", path, need }, handler)
    }

    pub fn delete<H, T>(self, path: &'static str, need: Need, handler: H) -> Routes
    where
        H: Handler<T, Api>,
        T: 'static,
    {
        self.add(MethodFilter::DELETE, Route { method: "DELETE", path, need }, handler)
    }

    fn add<H, T>(mut self, filter: MethodFilter, route: Route, handler: H) -> Routes
    where
        H: Handler<T, Api>,
        T: 'static,
    {
        let guard = middleware::from_fn_with_state((self.api.clone(), route.need), guard);
        self.router = self.router.route(route.path, on(filter, handler).route_layer(guard));
        self.listed.push(route);
        self
    }

    /// The routes are one themselves; and every path answers OPTIONS, to anybody, with its methods.
    pub fn finish(self) -> Router {
        let own = Route { method: "GET", path: "/api/haremq/routes", need: Need::Administrator };
        let listed = [self.listed.as_slice(), &[own]].concat();
        let mut this = self.get(own.path, own.need, async move || answer::body(&listed));
        this.answer_options();
        let router = this.router.with_state(this.api);
        // A layer of the routes themselves would come too late to change the path.
        let router = Router::new().fallback_service(router).layer(middleware::map_request(fold));
        // No browser is to guess what an answer is.
        router.layer(middleware::map_response(async |mut answer: Response| {
            let nosniff = HeaderValue::from_static("nosniff");
            answer.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
            answer
        }))
    }

    fn answer_options(&mut self) {
        let mut paths: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        self.listed.iter().for_each(|route| paths.entry(route.path).or_default().push(route.method));
        for (path, methods) in paths {
            let head = methods.contains(&"GET").then_some("HEAD");
            let allow = head.into_iter().chain(methods).chain(["OPTIONS"]).collect::<Vec<_>>().join(", ");
            let answer = async move || (StatusCode::OK, [(header::ALLOW, allow)]);
            let router = std::mem::take(&mut self.router);
            self.router = router.route(path, on(MethodFilter::OPTIONS, answer));
        }
    }
}

async fn guard(
    State((api, need)): State<(Api, Need)>,
    params: RawPathParams,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let is_by_script = cookie::is_by_script(headers) || live::is_by_script(headers);
    let mut answer = checked(api, need, params, request, next).await;
    if is_by_script {
        // The browser would ask for a password itself, over the page, which has a form for it.
        answer.headers_mut().remove(header::WWW_AUTHENTICATE);
    }
    answer
}

/// Lets in who may come in, as a [`User`] among the request's extensions.
async fn checked(api: Api, need: Need, params: RawPathParams, mut request: Request, next: Next) -> Response {
    if cookie::is_foreign(request.method(), request.headers()) {
        return Refusal::NotAuthorised(FOREIGN.to_owned()).into_response();
    }
    if need != Need::Nothing {
        let admitted = match Claim::of(&request) {
            Ok(Claim::Socket) => User::of_socket(&api.common).await,
            Ok(Claim::Password(credentials)) => match log_in(credentials, &api).await {
                Ok(user) => admit(user, need, &params, &api).await,
                refused => refused,
            },
            Ok(Claim::Cookie(token, peer)) => match token.user(peer, &api).await {
                Ok(user) => admit(user, need, &params, &api).await,
                refused => refused,
            },
            Err(refusal) => Err(refusal),
        };
        match admitted {
            Ok(user) => _ = request.extensions_mut().insert(user),
            Err(refusal) => return refusal.into_response(),
        }
    }
    next.run(request).await
}

/// Who a request says that it is of.
enum Claim {
    Socket,
    Password(Credentials),
    Cookie(Token, SocketAddr),
}

impl Claim {
    /// A password counts more than a cookie: a browser sends the latter unasked.
    fn of(request: &Request) -> Result<Claim, Refusal> {
        if request.headers().contains_key(header::AUTHORIZATION) {
            return Credentials::of(request).map(Claim::Password);
        }
        if is_over_socket(request) {
            return Ok(Claim::Socket);
        }
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        match (Token::of(request.headers()), peer) {
            (Some(token), Some(ConnectInfo(peer))) => Ok(Claim::Cookie(token, *peer)),
            (None, _) | (_, None) => Err(Refusal::Unauthenticated { tried: false }),
        }
    }
}

/// Who guesses waits.
pub async fn log_in(credentials: Credentials, api: &Api) -> Result<User, Refusal> {
    let from = credentials.peer.ip();
    let user = credentials.log_in(api).await;
    if let Err(Refusal::Unauthenticated { .. }) = user {
        tokio::time::sleep(api.throttle.failed(from)).await;
    }
    user
}

async fn admit(user: User, need: Need, params: &RawPathParams, api: &Api) -> Result<User, Refusal> {
    let common = &api.common;
    let param = |wanted: &str| params.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value);
    let vhost = param("vhost");
    let refused = need.check(&user, vhost);
    // That there is no such vhost, anybody may know.
    match (refused, vhost) {
        (Err(_), Some(vhost)) if need.is_of_vhost() && vhosts::check(common, vhost).await.is_err() => {
            Ok(user)
        }
        (refused, _) => refused.map(|()| user).map_err(|why| Refusal::NotAuthorised(why.to_owned())),
    }
}

impl Need {
    fn check(self, user: &User, vhost: Option<&str>) -> Result<(), &'static str> {
        let tags = &user.user.tags;
        let may_enter = || vhost.is_none_or(|vhost| user.access.may_enter(&user.user.name, vhost.as_bytes()));
        let is_administrator = tags.is_administrator();
        let (may, refusal) = match self {
            Need::Nothing | Need::Management => (true, ""),
            Need::SeeVhost => (tags.may_monitor() || may_enter(), VHOST),
            Need::EnterVhost => (is_administrator || may_enter(), VHOST),
            Need::Policymaker => (is_administrator || (tags.may_make_policies() && may_enter()), OBJECT),
            Need::Monitoring => (tags.may_monitor(), "Not monitor user"),
            Need::Administrator => (is_administrator, "Not administrator user"),
        };
        if may { Ok(()) } else { Err(refusal) }
    }

    fn is_of_vhost(self) -> bool {
        matches!(self, Need::SeeVhost | Need::EnterVhost | Need::Policymaker)
    }
}

const FOREIGN: &str = "A page of another origin may not change anything here";
const VHOST: &str = "User not authorised to access virtual host";
const OBJECT: &str = "User not authorised to access object";

/// A path that ends in a slash means the one without.
async fn fold(mut request: Request) -> Request {
    let path = request.uri().path();
    if path.len() > 1 && path.ends_with('/') {
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        let folded = format!("{}{query}", path.trim_end_matches('/'));
        let mut parts = request.uri().clone().into_parts();
        if let Ok(folded) = PathAndQuery::try_from(folded) {
            parts.path_and_query = Some(folded);
            if let Ok(uri) = Uri::from_parts(parts) {
                *request.uri_mut() = uri;
            }
        }
    }
    request
}
