//! A whole service: `cargo run -p microservice --example quotes`, then
//! `curl localhost:3000/quotes/1` and `curl -d '"All is flux."' localhost:3000/quotes`.

use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;
use microservice::{App, Json, Rejection, Request};

type Quotes = Arc<Mutex<Vec<String>>>;

async fn show(quotes: Quotes, request: Request) -> Result<(StatusCode, String), Rejection> {
    let n: usize = request.param("n")?;
    let quotes = quotes.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(match quotes.get(n) {
        Some(quote) => (StatusCode::OK, format!("{quote}\n")),
        None => (StatusCode::NOT_FOUND, String::from("no such quote\n")),
    })
}

async fn add(quotes: Quotes, request: Request) -> Result<(StatusCode, Json<usize>), Rejection> {
    let quote: String = request.json()?;
    let mut quotes = quotes.lock().unwrap_or_else(PoisonError::into_inner);
    quotes.push(quote);
    Ok((StatusCode::CREATED, Json(quotes.len() - 1)))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let quotes = Quotes::new(Mutex::new(vec![
        "Know thyself.".into(),
        "Nothing in excess.".into(),
    ]));
    let (shown, added) = (Arc::clone(&quotes), quotes);
    let app = App::new("quotes")
        .get("/quotes/{n}", move |request| {
            show(Arc::clone(&shown), request)
        })
        .post("/quotes", move |request| add(Arc::clone(&added), request))
        .metrics("/metrics");
    let listener = daemon::net::listen("127.0.0.1:3000".parse()?)?;
    Ok(app.serve(listener, daemon::shutdown::on_signal()).await?)
}
