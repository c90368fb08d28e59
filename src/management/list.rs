//! How lists are answered: filtered, sorted and paged, with the columns that were asked for.
//!
//! ```text
//! all items -> filter by name -> sort -> page -> render -> columns
//! ```
//! An item is rendered when it is shown, or when it is sorted by something that only its rendering knows.

use std::borrow::Cow;
use std::cmp::Ordering;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_lite::stream;
use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer::{self, Answer, Refusal, VARY};

/// What a request may ask of a list.
#[derive(Deserialize, Clone, Default, Debug)]
pub struct Asked {
    page: Option<String>,
    page_size: Option<String>,
    name: Option<String>,
    use_regex: Option<String>,
    columns: Option<String>,
    sort: Option<String>,
    sort_reverse: Option<String>,
}

/// Something that lists show.
pub trait Row {
    fn vhost(&self) -> Cow<'_, str>;
    fn name(&self) -> Cow<'_, str>;
    fn render(&self) -> Value;
}

impl<R: Row + ?Sized> Row for &R {
    fn vhost(&self) -> Cow<'_, str> {
        R::vhost(self)
    }

    fn name(&self) -> Cow<'_, str> {
        R::name(self)
    }

    fn render(&self) -> Value {
        R::render(self)
    }
}

/// What is rendered already.
impl Row for Value {
    fn vhost(&self) -> Cow<'_, str> {
        self["vhost"].as_str().unwrap_or_default().into()
    }

    fn name(&self) -> Cow<'_, str> {
        self["name"].as_str().unwrap_or_default().into()
    }

    fn render(&self) -> Value {
        self.clone()
    }
}

impl Asked {
    /// One object with the columns that were asked for.
    pub fn one(&self, object: Value) -> Answer {
        answer::body(match self.columns() {
            Some(columns) => shaped(&object, &columns),
            None => object,
        })
    }

    /// With `page` an object with that page, else a bare array.
    pub fn list<R: Row + Send + 'static>(&self, mut rows: Vec<R>) -> Answer {
        let total = rows.len();
        let Some(page) = &self.page else {
            self.sort(&mut rows);
            return Ok(self.stream(rows));
        };
        let (page, size) = (number(page, "page")?, self.page_size()?);
        self.filter(&mut rows)?;
        self.sort(&mut rows);
        let filtered = rows.len();
        let pages = filtered.div_ceil(size);
        if page == 0 || page > pages.max(1) {
            let reason = format!("Page out of range, page: {page} page size: {size}, len: {filtered}");
            return Err(Refusal::PageOutOfRange(reason));
        }
        let shown = rows.iter().skip((page - 1) * size).take(size);
        let columns = self.columns();
        let items: Vec<Value> = shown.map(|row| cut(row.render(), columns.as_deref())).collect();
        answer::body(json!({
            "filtered_count": filtered,
            "item_count": items.len(),
            "items": items,
            "page": page,
            "page_count": pages.max(1),
            "page_size": size,
            "total_count": total,
        }))
    }

    fn page_size(&self) -> Result<usize, Refusal> {
        let size = self.page_size.as_deref().map_or(Ok(PAGE_SIZE), |size| number(size, "page_size"))?;
        if size == 0 || size > PAGE_SIZE_MAX {
            return Err(Refusal::BadRequest(format!(
                "Invalid pagination parameter: page_size, must be between 1 and {PAGE_SIZE_MAX}"
            )));
        }
        Ok(size)
    }

    fn filter<R: Row>(&self, rows: &mut Vec<R>) -> Result<(), Refusal> {
        let Some(name) = self.name.as_deref().filter(|name| !name.is_empty()) else { return Ok(()) };
        if self.use_regex.as_deref() == Some("true") {
            let pattern = Regex::new(name).map_err(|error| Refusal::BadRequest(error.to_string()))?;
            rows.retain(|row| pattern.is_match(&row.name()));
        } else {
            let name = name.to_lowercase();
            rows.retain(|row| row.name().to_lowercase().contains(&name));
        }
        Ok(())
    }

    fn sort<R: Row>(&self, rows: &mut Vec<R>) {
        match self.sort.as_deref().filter(|key| !key.is_empty()) {
            None => rows.sort_by(|one, other| {
                one.vhost().cmp(&other.vhost()).then_with(|| one.name().cmp(&other.name()))
            }),
            Some("name") => rows.sort_by(|one, other| one.name().cmp(&other.name())),
            Some(key) => {
                let path: Vec<&str> = key.split('.').collect();
                let mut keyed: Vec<(Value, R)> = rows
                    .drain(..)
                    .map(|row| (at(&row.render(), &path).cloned().unwrap_or_default(), row))
                    .collect();
                keyed.sort_by(|(one, _), (other, _)| order(one, other));
                rows.extend(keyed.into_iter().map(|(_, row)| row));
            }
        }
        if self.sort_reverse.as_deref() == Some("true") {
            rows.reverse();
        }
    }

    fn columns(&self) -> Option<Vec<Vec<String>>> {
        let columns = self.columns.as_deref().filter(|columns| !columns.is_empty())?;
        Some(columns.split(',').map(|path| path.split('.').map(str::to_owned).collect()).collect())
    }

    /// A long list goes out in pieces, and others have their turn between them.
    fn stream<R: Row + Send + 'static>(&self, rows: Vec<R>) -> Response {
        let columns = self.columns();
        let last = rows.len();
        let pieces = stream::unfold((rows, 0, columns), move |(rows, from, columns)| async move {
            if from > last {
                return None;
            }
            let to = (from + ROWS_PER_PIECE).min(last);
            let mut piece = Vec::new();
            if from == 0 {
                piece.push(b'[');
            }
            for (index, row) in rows.iter().enumerate().take(to).skip(from) {
                if index > 0 {
                    piece.push(b',');
                }
                serde_json::to_writer(&mut piece, &cut(row.render(), columns.as_deref()))
                    .expect("a value is JSON");
            }
            let next = if to == last { last + 1 } else { to };
            if to == last {
                piece.push(b']');
            }
            tokio::task::yield_now().await;
            Some((Ok::<_, std::convert::Infallible>(Bytes::from(piece)), (rows, next, columns)))
        });
        let headers = [
            (header::CONTENT_TYPE, "application/json"),
            (header::CACHE_CONTROL, "no-cache"),
            (header::VARY, VARY),
        ];
        (headers, Body::from_stream(pieces)).into_response()
    }
}

fn number(text: &str, name: &str) -> Result<usize, Refusal> {
    text.parse().map_err(|_| Refusal::BadRequest(format!("Invalid pagination parameter: {name}")))
}

fn cut(row: Value, columns: Option<&[Vec<String>]>) -> Value {
    match columns {
        Some(columns) => shaped(&row, columns),
        None => row,
    }
}

/// An object with those paths alone.
fn shaped(object: &Value, columns: &[Vec<String>]) -> Value {
    let mut shaped = Map::new();
    for path in columns {
        let [first, rest @ ..] = path.as_slice() else { continue };
        let Some(value) = object.get(first) else { continue };
        let value = if rest.is_empty() { value.clone() } else { shaped_below(value, rest) };
        match (shaped.get_mut(first), value) {
            (Some(Value::Object(before)), Value::Object(more)) => before.extend(more),
            (_, value) => _ = shaped.insert(first.clone(), value),
        }
    }
    Value::Object(shaped)
}

fn shaped_below(value: &Value, path: &[String]) -> Value {
    match value {
        Value::Array(items) => items.iter().map(|item| shaped_below(item, path)).collect(),
        value => shaped(value, &[path.to_vec()]),
    }
}

fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, key| value.get(key))
}

/// What is not there comes first, then numbers, then texts.
fn order(one: &Value, other: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) | Value::Object(_) => 4,
    };
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one.as_f64().unwrap_or_default().total_cmp(&other.as_f64().unwrap_or_default())
        }
        (Value::String(one), Value::String(other)) => one.cmp(other),
        (Value::Bool(one), Value::Bool(other)) => one.cmp(other),
        (one, other) => rank(one).cmp(&rank(other)),
    }
}

/// RabbitMQ's.
const PAGE_SIZE: usize = 100;
const PAGE_SIZE_MAX: usize = 500;
/// About a millisecond's work.
const ROWS_PER_PIECE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: Value) -> Asked {
        serde_json::from_value(query).unwrap()
    }

    fn rows() -> Vec<Value> {
        vec![
            json!({"vhost": "b", "name": "x", "messages": 3, "stats": {"rate": 0.5, "count": 1}}),
            json!({"vhost": "a", "name": "zz", "messages": 20}),
            json!({"vhost": "a", "name": "y.q", "messages": null}),
        ]
    }

    async fn answered(asked: &Asked) -> Value {
        let answer = asked.list(rows()).unwrap_or_else(IntoResponse::into_response);
        let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    fn names(answer: &Value) -> Vec<&str> {
        let items = answer.get("items").unwrap_or(answer);
        items.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
    }

    #[tokio::test]
    async fn without_a_page_it_is_a_bare_array_in_the_order_of_vhosts_and_names() {
        let answer = answered(&Asked::default()).await;
        assert_eq!(names(&answer), ["y.q", "zz", "x"]);
        let answer = answered(&asked(json!({"sort": "messages", "sort_reverse": "true"}))).await;
        assert_eq!(names(&answer), ["zz", "x", "y.q"]);
    }

    #[tokio::test]
    async fn a_page_tells_of_the_others() {
        let answer = answered(&asked(json!({"page": "2", "page_size": "2", "pagination": "false"}))).await;
        assert_eq!(names(&answer), ["x"]);
        let counts = ["filtered_count", "item_count", "page", "page_count", "page_size", "total_count"];
        assert_eq!(counts.map(|count| answer[count].as_u64().unwrap()), [3, 1, 2, 2, 2, 3]);
        let answer = answered(&asked(json!({"page": "3", "page_size": "2"}))).await;
        assert_eq!(answer["reason"], "Page out of range, page: 3 page size: 2, len: 3");
    }

    #[tokio::test]
    async fn a_name_is_a_part_of_it_or_a_regular_expression() {
        let answer = answered(&asked(json!({"page": "1", "name": "Z"}))).await;
        assert_eq!(names(&answer), ["zz"]);
        let answer = answered(&asked(json!({"page": "1", "name": "^[xy]", "use_regex": "true"}))).await;
        assert_eq!(names(&answer), ["y.q", "x"]);
        let answer = answered(&asked(json!({"page": "1", "name": "(", "use_regex": "true"}))).await;
        assert_eq!(answer["error"], "bad_request");
    }

    #[tokio::test]
    async fn columns_are_paths() {
        let answer = answered(&asked(json!({"columns": "name,stats.rate,stats.count,none"}))).await;
        assert_eq!(answer[2], json!({"name": "x", "stats": {"rate": 0.5, "count": 1}}));
        assert_eq!(answer[0], json!({"name": "y.q"}));
    }
}
