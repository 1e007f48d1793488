//! The guest's standard output and error: kept for its log, cut off when full.

use crate::limits::STDIO_BYTES_MAX;
use bytes::Bytes;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

#[derive(Clone, Default)]
pub(crate) struct GuestStdio(Arc<Mutex<Vec<u8>>>);

impl GuestStdio {
	fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
		self.0.lock().unwrap_or_else(PoisonError::into_inner)
	}

	fn append(&self, bytes: &[u8]) {
		let mut kept = self.bytes();
		let room = STDIO_BYTES_MAX.saturating_sub(kept.len());
		kept.extend(bytes.iter().take(room));
	}

	pub(crate) fn take(&self) -> Vec<u8> {
		std::mem::take(&mut *self.bytes())
	}
}

impl IsTerminal for GuestStdio {
	fn is_terminal(&self) -> bool {
		false
	}
}

impl StdoutStream for GuestStdio {
	fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
		Box::new(self.clone())
	}

	fn p2_stream(&self) -> Box<dyn OutputStream> {
		Box::new(self.clone())
	}
}

#[async_trait::async_trait]
impl Pollable for GuestStdio {
	async fn ready(&mut self) {}
}

impl OutputStream for GuestStdio {
	fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
		self.append(&bytes);
		Ok(())
	}

	fn flush(&mut self) -> StreamResult<()> {
		Ok(())
	}

	fn check_write(&mut self) -> StreamResult<usize> {
		Ok(STDIO_BYTES_MAX)
	}
}

impl AsyncWrite for GuestStdio {
	fn poll_write(
		self: Pin<&mut Self>,
		_: &mut Context<'_>,
		bytes: &[u8],
	) -> Poll<std::io::Result<usize>> {
		self.append(bytes);
		Poll::Ready(Ok(bytes.len()))
	}

	fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
		Poll::Ready(Ok(()))
	}

	fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
		Poll::Ready(Ok(()))
	}
}
