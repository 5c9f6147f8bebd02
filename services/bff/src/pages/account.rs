//! Signing in and out.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Redirect, Response},
};
use maud::html;

use super::{Frame, sentence};
use crate::{
    account::Credentials,
    error::Error,
    input::Form,
    server::App,
    session::{Known, Session},
};

/// `GET /sign-in`
pub(super) async fn show(State(app): State<App>, Known(session): Known) -> Response {
    let frame = Frame::new(&app, session.as_ref(), "Sign in").await;
    page(&frame, "", None)
}

/// `POST /sign-in`
pub(super) async fn submit(State(app): State<App>, before: Session, Form(form): Form) -> Result<Response, Error> {
    let credentials = Credentials::typed(&form);
    match app.shop.sign_in(&credentials, &app.session_secret, &before).await {
        Ok((session, _)) => Ok(session.with(Redirect::to("/cart"))),
        Err(error @ Error::SignIn { .. }) => {
            let frame = Frame::new(&app, Some(&before.id), "Sign in").await;
            let mut response = page(&frame, &credentials.name, Some(&error));
            *response.status_mut() = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
            Ok(response)
        }
        Err(error) => Err(error),
    }
}

/// `POST /sign-out`
pub(super) async fn leave() -> Response {
    Session::end(Redirect::to("/"))
}

fn page(frame: &Frame, name: &str, error: Option<&Error>) -> Response {
    let body = html! {
        h1 { "Sign in" }
        p.lead { "The same name and passphrase bring you to the same cart and orders, on any device and in either region." }
        @if let Some(error) = error {
            p.note.warn #problem role="alert" { (sentence(&error.to_string())) }
        }
        form.narrow #sign-in-form action="/sign-in" method="post" {
            fieldset {
                legend { "Who are you?" }
                label.field {
                    span { "Name" }
                    input type="text" name="name" value=(name) maxlength="64" autocomplete="username" required;
                }
                label.field {
                    span { "Passphrase" }
                    input type="password" name="passphrase" minlength="8" maxlength="200" autocomplete="current-password" required;
                }
            }
            button.button #sign-in type="submit" { "Sign in" }
            p.quiet { "What is in the cart now comes along. There is nothing to register: another passphrase leads to another cart." }
        }
    };
    ([(header::CACHE_CONTROL, "no-store")], frame.around(&body)).into_response()
}
