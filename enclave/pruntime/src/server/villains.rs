//! Villains whose bodies never end.

use axum::body::{Body, Bytes, HttpBody};
use http_body::Frame;
use std::{
	pin::Pin,
	task::{Context, Poll},
};

/// Announces a body and sends nothing of it.
pub struct Idler;

impl Idler {
	pub fn body() -> Body {
		Body::new(Endless(None))
	}
}

/// Sends a body but for its end.
pub struct Hoarder;

impl Hoarder {
	pub fn body(bytes: usize) -> Body {
		Body::new(Endless(Some(vec![7; bytes].into())))
	}
}

/// Returns when nobody can go on without the clock, which has to be a paused one.
pub async fn villains_stand_still() {
	tokio::time::sleep(std::time::Duration::from_millis(1)).await;
}

struct Endless(Option<Bytes>);

impl HttpBody for Endless {
	type Data = Bytes;
	type Error = std::convert::Infallible;

	fn poll_frame(
		mut self: Pin<&mut Self>,
		_: &mut Context<'_>,
	) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
		match self.0.take() {
			Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
			None => Poll::Pending,
		}
	}
}
