//! Bodies of forms that pages send, in UTF-8.

use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;

use super::body_reader::{has_media_type, read, unsupported_media_type, without_byte_order_mark};
use super::query;
use crate::domain::{Error, ErrorCode};
use crate::http::error::HttpError;

/// Fields of a form.
pub(in crate::http) struct FormBody<T>(T);

impl<T> FormBody<T> {
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for FormBody<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for FormBody<T> {
    type Error = HttpError;
    type Future = LocalBoxFuture<'static, Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_form = has_media_type(request, |essence| essence == "application/x-www-form-urlencoded");
        let body = read(request, payload);
        async move {
            if !is_form {
                let detail = "a form is sent as application/x-www-form-urlencoded, in UTF-8";
                return Err(unsupported_media_type(detail).into());
            }
            let body = body.await?;
            query::parse(without_byte_order_mark(&body)).map(Self).map_err(|_| {
                let detail = "the form can't be read: each field may come once, in UTF-8";
                HttpError(Error::new(ErrorCode::MalformedForm, detail))
            })
        }
        .boxed_local()
    }
}
