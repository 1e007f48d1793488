//! Bodies of requests: how long one may take to come, and how much of them is held at once.
//!
//! A connection that announces a body and sends none holds nothing here: what is held is counted as
//! it comes. A body that is not whole in time is dropped by name.

use super::ServerError;
use crate::limits;
use axum::{
	body::{Body, Bytes, HttpBody},
	http::StatusCode,
};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use phala_protocol::refusals::Refusal;
use std::{
	ops::Deref,
	pin::Pin,
	sync::Arc,
	task::{Context, Poll},
	time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A permit is so many bytes.
const PERMIT_BYTES: usize = 1024;

/// Reads the bodies of one kind of sender. Cheap to clone; all clones share what may be held.
#[derive(Clone)]
pub struct Bodies {
	room: Arc<Semaphore>,
	bytes_max: usize,
	wait_ms_max: u64,
}

/// A body. What it takes of the room is free again when it is dropped.
pub struct HeldBody {
	bytes: Vec<u8>,
	room: Option<OwnedSemaphorePermit>,
}

/// Why a body was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
	#[error("the body took longer than {0} ms")]
	Time(u64),
	#[error("the body has more than {0} bytes, the most that is taken here")]
	TooLong(usize),
	#[error("the body broke off")]
	BrokeOff,
	#[error(
		"this worker holds {0} bytes of requests that are still to be read or checked, the most; \
		 try again in a moment"
	)]
	NoRoom(usize),
}

impl Bodies {
	/// At most `bytes_max` are held at once, and each body comes within `wait_ms_max`.
	pub fn new(bytes_max: usize, wait_ms_max: u64) -> Self {
		let room = Arc::new(Semaphore::new(bytes_max / PERMIT_BYTES));
		Self { room, bytes_max, wait_ms_max }
	}

	/// A whole body of at most `body_bytes_max`.
	pub async fn read(&self, body: Body, body_bytes_max: usize) -> Result<HeldBody, BodyError> {
		let wait = Duration::from_millis(self.wait_ms_max);
		tokio::time::timeout(wait, self.collect(body, body_bytes_max))
			.await
			.unwrap_or(Err(BodyError::Time(self.wait_ms_max)))
	}

	async fn collect(&self, mut body: Body, body_bytes_max: usize) -> Result<HeldBody, BodyError> {
		let mut held = HeldBody { bytes: Vec::new(), room: None };
		while let Some(frame) = body.frame().await {
			let Ok(data) = frame.map_err(|_| BodyError::BrokeOff)?.into_data() else { continue };
			if data.len() > body_bytes_max - held.bytes.len() {
				return Err(BodyError::TooLong(body_bytes_max));
			}
			self.make_room(&mut held, data.len())?;
			held.bytes.extend_from_slice(&data);
		}
		Ok(held)
	}

	fn make_room(&self, held: &mut HeldBody, more: usize) -> Result<(), BodyError> {
		let has = held.room.as_ref().map_or(0, |room| room.num_permits());
		let missing = (held.bytes.len() + more).div_ceil(PERMIT_BYTES) - has;
		let no_room = || BodyError::NoRoom(self.bytes_max);
		let missing = u32::try_from(missing).map_err(|_| no_room())?;
		// Refused rather than kept waiting: those who have a part each could wait for one another.
		let taken = self.room.clone().try_acquire_many_owned(missing).map_err(|_| no_room())?;
		match &mut held.room {
			Some(room) => room.merge(taken),
			room => *room = Some(taken),
		}
		Ok(())
	}
}

impl HeldBody {
	/// For whoever counts it from here on.
	pub fn into_bytes(self) -> Vec<u8> {
		self.bytes
	}
}

impl Deref for HeldBody {
	type Target = [u8];

	fn deref(&self) -> &[u8] {
		&self.bytes
	}
}

/// A body whose rest is read and dropped when whoever was to take it does not: a sender that is answered
/// before it has sent all reads the answer only afterwards, and would else be told by a closed connection.
pub fn read_out(body: Body) -> Body {
	Body::new(ReadOut(body))
}

struct ReadOut(Body);

impl HttpBody for ReadOut {
	type Data = Bytes;
	type Error = axum::Error;

	fn poll_frame(
		mut self: Pin<&mut Self>,
		context: &mut Context<'_>,
	) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
		Pin::new(&mut self.0).poll_frame(context)
	}

	fn is_end_stream(&self) -> bool {
		self.0.is_end_stream()
	}

	fn size_hint(&self) -> SizeHint {
		self.0.size_hint()
	}
}

impl Drop for ReadOut {
	fn drop(&mut self) {
		let mut body = std::mem::take(&mut self.0);
		let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
		if body.is_end_stream() {
			return;
		}
		runtime.spawn(async move {
			let reading = async {
				let mut left = limits::READ_OUT_BYTES_MAX;
				while let Some(Ok(frame)) = body.frame().await {
					let bytes = frame.data_ref().map_or(0, Bytes::len);
					let Some(rest) = left.checked_sub(bytes) else { return };
					left = rest;
				}
			};
			let wait = Duration::from_millis(limits::READ_OUT_WAIT_MS_MAX);
			let _ = tokio::time::timeout(wait, reading).await;
		});
	}
}

impl From<BodyError> for ServerError {
	fn from(refused: BodyError) -> Self {
		let (status, refusal) = match refused {
			BodyError::Time(_) => (StatusCode::REQUEST_TIMEOUT, Refusal::BodyTime),
			BodyError::TooLong(_) => (StatusCode::PAYLOAD_TOO_LARGE, Refusal::TooLong),
			BodyError::BrokeOff => (StatusCode::BAD_REQUEST, Refusal::Malformed),
			BodyError::NoRoom(_) => (StatusCode::SERVICE_UNAVAILABLE, Refusal::TooManyRequests),
		};
		Self::new(status, refusal, refused)
	}
}

#[cfg(test)]
mod tests {
	use super::{
		super::villains::{villains_stand_still, Hoarder, Idler},
		*,
	};

	const ROOM: usize = 64 * 1024;
	const BODY: usize = 16 * 1024;

	fn whole(bytes: usize) -> Body {
		Body::from(vec![7; bytes])
	}

	#[tokio::test(start_paused = true)]
	async fn a_body_holds_at_its_limit_and_not_one_past_it() {
		let bodies = Bodies::new(ROOM, 1_000);
		assert_eq!(bodies.read(whole(BODY), BODY).await.unwrap().len(), BODY);
		assert_eq!(bodies.read(whole(0), BODY).await.unwrap().len(), 0);
		let refused = bodies.read(whole(BODY + 1), BODY).await.err();
		assert_eq!(refused, Some(BodyError::TooLong(BODY)));
		let refused = bodies.read(whole(ROOM + 1), ROOM + 1).await.err();
		assert_eq!(refused, Some(BodyError::NoRoom(ROOM)));
		assert_eq!(bodies.read(whole(ROOM), ROOM).await.unwrap().len(), ROOM);
	}

	#[tokio::test(start_paused = true)]
	async fn idlers_hold_nothing_and_end_by_name() {
		let bodies = Bodies::new(ROOM, 1_000);
		let mut idlers = tokio::task::JoinSet::new();
		for _ in 0..1_000 {
			let bodies = bodies.clone();
			idlers.spawn(async move { bodies.read(Idler::body(), BODY).await.err() });
		}
		villains_stand_still().await;
		assert!(bodies.read(whole(ROOM), ROOM).await.is_ok());
		for ended in idlers.join_all().await {
			assert_eq!(ended, Some(BodyError::Time(1_000)));
		}
	}

	#[tokio::test(start_paused = true)]
	async fn hoarders_fill_their_room_until_their_time_is_over_and_others_are_told() {
		let bodies = Bodies::new(ROOM, 1_000);
		let mut hoarders = tokio::task::JoinSet::new();
		for _ in 0..8 {
			let bodies = bodies.clone();
			hoarders.spawn(async move { bodies.read(Hoarder::body(BODY), BODY).await.err() });
		}
		villains_stand_still().await;
		let refused = bodies.read(whole(1), BODY).await.err();
		assert_eq!(refused, Some(BodyError::NoRoom(ROOM)));
		let mut ended = hoarders.join_all().await;
		ended.sort_by_key(|ended| *ended == Some(BodyError::Time(1_000)));
		assert_eq!(ended[3], Some(BodyError::NoRoom(ROOM)));
		assert_eq!(ended[4], Some(BodyError::Time(1_000)));
		assert_eq!(bodies.read(whole(ROOM), ROOM).await.unwrap().len(), ROOM);
	}
}
