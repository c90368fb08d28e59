//! `/api/users`

use axum::body::Bytes;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{self, Answer, Refusal};
use super::login::User;
use super::permissions::{shown_permissions, shown_topics};
use super::routes::{Need, Routes};
use crate::access::{self, Access, Algorithm, Change, Limits, PasswordHash, Salt, Tags};
use crate::ids::Name;
use crate::shard::start::Common;
use crate::text::lossy;

pub fn routes(routes: Routes) -> Routes {
    use Need::Administrator;
    routes
        .get("/api/users", Administrator, list)
        .get("/api/users/{user}", Administrator, one)
        .put("/api/users/{user}", Administrator, put)
        .delete("/api/users/{user}", Administrator, delete)
        .get("/api/users/{user}/permissions", Administrator, permissions)
        .get("/api/users/{user}/topic-permissions", Administrator, topic_permissions)
}

#[derive(Deserialize)]
struct Body {
    password: Option<String>,
    password_hash: Option<String>,
    hashing_algorithm: Option<String>,
    tags: Option<Value>,
}

async fn list(User { access, .. }: User) -> Answer {
    answer::body(access.users().map(|user| shown(user)).collect::<Vec<_>>())
}

async fn one(User { access, .. }: User, Path(name): Path<String>) -> Answer {
    answer::body(shown(access.user(name.as_bytes()).ok_or(Refusal::NotFound)?))
}

async fn put(
    User { access, .. }: User,
    State(common): State<Common>,
    Path(name): Path<String>,
    body: Bytes,
) -> Answer {
    let hashing = common.config.users.password_hashing;
    let existed = access.user(name.as_bytes()).is_some();
    let body = answer::read(&body)?;
    let user = answer::beside(move || user(&access, name.as_bytes(), body, hashing)).await??;
    answer::changed(&common, vec![Change::UserPut(user)]).await?;
    answer::put(existed)
}

async fn delete(User { access, .. }: User, State(common): State<Common>, Path(name): Path<String>) -> Answer {
    let user = access.user(name.as_bytes()).ok_or(Refusal::NotFound)?;
    answer::changed(&common, vec![Change::UserDeleted { user: user.name.clone() }]).await?;
    answer::deleted()
}

async fn permissions(User { access, .. }: User, Path(name): Path<String>) -> Answer {
    let user = access.user(name.as_bytes()).ok_or(Refusal::NotFound)?;
    answer::body(shown_permissions(&access, |_, of| *of == user.name))
}

async fn topic_permissions(User { access, .. }: User, Path(name): Path<String>) -> Answer {
    let user = access.user(name.as_bytes()).ok_or(Refusal::NotFound)?;
    answer::body(shown_topics(&access, |topic| *topic.user() == user.name))
}

/// What a body asks for; `hashing` unless it says how. A password in it may take long to hash. Without a new password the
/// limits stay, and so does nothing else.
fn user(access: &Access, name: &[u8], body: Body, hashing: Algorithm) -> Result<access::User, Refusal> {
    let Body { password, password_hash, hashing_algorithm, tags } = body;
    let tags = match tags {
        Some(Value::String(text)) => Tags::parse(&text),
        Some(Value::Array(names)) => Tags::new(names.iter().filter_map(Value::as_str)),
        _ => return Err(Refusal::BadRequest("[{key_missing,tags}]".to_owned())),
    };
    let is_named = hashing_algorithm.is_some();
    let algorithm = hashing_algorithm.as_deref().map_or(Ok(hashing), Algorithm::named);
    let algorithm = algorithm.map_err(Refusal::BadRequest)?;
    let hash = match (password, password_hash) {
        (Some(password), _) => PasswordHash::new(algorithm, password.as_bytes(), salt()?),
        (None, Some(hash)) => {
            let read = if is_named { PasswordHash::read } else { PasswordHash::read_unnamed };
            read(algorithm, &hash).map_err(Refusal::BadRequest)?
        }
        (None, None) => PasswordHash::nobody(algorithm),
    };
    let mut user =
        access::User::new(name, hash, tags.map_err(Refusal::BadRequest)?).map_err(Refusal::BadRequest)?;
    if let Some(before) = access.user(name) {
        user.limits = before.limits;
    }
    Ok(user)
}

/// A user of definitions, with its limits. A password in it may take long to hash.
pub fn defined(
    access: &Access,
    name: &str,
    item: Value,
    hashing: Algorithm,
) -> Result<access::User, Refusal> {
    let limits = item.get("limits").cloned();
    let body = serde_json::from_value(item).map_err(|error| Refusal::BadRequest(error.to_string()))?;
    let mut user = user(access, name.as_bytes(), body, hashing)?;
    if let Some(limits) = limits {
        let limit =
            |name| limits.get(name).and_then(Value::as_u64).and_then(|limit| u32::try_from(limit).ok());
        user.limits =
            Limits { max_connections: limit("max-connections"), max_channels: limit("max-channels") };
    }
    Ok(user)
}

pub fn salt() -> Result<Salt, Refusal> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|_| Refusal::Unavailable)?;
    Ok(Salt(salt))
}

pub fn shown(user: &access::User) -> Value {
    let limits =
        [("max-connections", user.limits.max_connections), ("max-channels", user.limits.max_channels)];
    let limits = limits.into_iter().filter_map(|(name, limit)| Some((name.to_owned(), json!(limit?))));
    json!({
        "name": lossy(&user.name),
        "password_hash": user.password.text(),
        "hashing_algorithm": user.password.algorithm().name(),
        "tags": user.tags.names().collect::<Vec<_>>(),
        "limits": Value::Object(limits.collect()),
    })
}

pub fn named(name: &str) -> Name {
    Name::from(name.as_bytes())
}
