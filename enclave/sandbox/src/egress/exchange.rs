//! One HTTP/1.1 exchange over a connection of its own to an address that has been checked.
//!
//! Connections are not kept: they would have to be kept apart by agent, and an address that was
//! checked for one request is not one that was checked for the next.

use super::Hop;
use crate::host::{FetchAllowance, HostError, RefusalKind};
use crate::limits::{ADDRESSES_MAX, CONNECT_TIMEOUT, HEADER_BYTES_MAX};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use phala_agent_manifest::Scheme;
use rustls::pki_types::ServerName;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

/// A response whose body has been read.
pub(super) struct Answer {
	pub head: http::response::Parts,
	pub body: Vec<u8>,
}

fn network(message: impl Into<String>) -> HostError {
	HostError::new(RefusalKind::Network, message)
}

/// Sends `request` to one of `addresses` and reads the answer, as far as `allowance` goes.
pub(super) async fn exchange(
	hop: &Hop,
	addresses: &[IpAddr],
	tls: &Arc<rustls::ClientConfig>,
	request: Request<Full<Bytes>>,
	allowance: &FetchAllowance,
) -> Result<Answer, HostError> {
	let tcp = connect(hop, addresses).await?;
	match hop.scheme {
		Scheme::Http => send(tcp, hop, request, allowance).await,
		Scheme::Https => {
			let name = ServerName::try_from(hop.host.trim_matches(['[', ']']).to_owned())
				.map_err(|_| network(format!("{hop}: no certificate can be for this host")))?;
			let tls = TlsConnector::from(tls.clone())
				.connect(name, tcp)
				.await
				.map_err(|error| network(format!("{hop}: TLS failed: {error}")))?;
			send(tls, hop, request, allowance).await
		}
	}
}

async fn connect(hop: &Hop, addresses: &[IpAddr]) -> Result<TcpStream, HostError> {
	let mut last = None;
	for address in addresses.iter().take(ADDRESSES_MAX) {
		match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect((*address, hop.port))).await
		{
			Ok(Ok(stream)) => {
				// Requests are small and wait for their answers.
				let _ = stream.set_nodelay(true);
				return Ok(stream);
			}
			Ok(Err(error)) => last = Some(error.kind().to_string()),
			Err(_elapsed) => last = Some("it took too long".to_owned()),
		}
	}
	Err(network(format!(
		"{hop}: no connection: {}",
		last.unwrap_or_else(|| "the name has no address".to_owned())
	)))
}

/// Ends the connection's task with the exchange.
struct EndWithExchange(JoinHandle<()>);

impl Drop for EndWithExchange {
	fn drop(&mut self) {
		self.0.abort();
	}
}

async fn send<S>(
	stream: S,
	hop: &Hop,
	request: Request<Full<Bytes>>,
	allowance: &FetchAllowance,
) -> Result<Answer, HostError>
where
	S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
	let failed = |error: hyper::Error| network(format!("{hop}: HTTP failed: {error}"));
	let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
		// All that a connection holds which nothing was taken for yet.
		.max_buf_size(HEADER_BYTES_MAX)
		.handshake(TokioIo::new(stream))
		.await
		.map_err(failed)?;
	let _connection = EndWithExchange(tokio::spawn(async move {
		// What goes wrong shows at the sender.
		let _ = connection.await;
	}));
	let response: Response<Incoming> = sender.send_request(request).await.map_err(failed)?;
	let (head, mut incoming) = response.into_parts();
	allowance
		.take(head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum())?;
	let mut body = Vec::new();
	while let Some(frame) = incoming.frame().await {
		if let Ok(data) = frame.map_err(failed)?.into_data() {
			allowance.take(data.len())?;
			body.extend_from_slice(&data);
		}
	}
	Ok(Answer { head, body })
}
