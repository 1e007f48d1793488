//! An enclave's relay server: HTTP with SCALE bodies, see [`phala_protocol::relay::paths`].

use codec::{Decode, DecodeAll, Encode};
use phala_protocol::{
	mailbox::Envelope,
	relay::{paths, EnclaveStatus, GenesisBundle, Registration, SyncBundle},
	AccountBytes,
};

use crate::{limits, RelayError};

/// A client of one enclave's relay server.
#[derive(Clone, Debug)]
pub struct EnclaveClient {
	url: String,
	http: reqwest::Client,
}

impl EnclaveClient {
	/// Of the enclave at `url`, say `http://127.0.0.1:8000`. Connects when first used.
	///
	/// # Errors
	/// [`RelayError::EnclaveUnreachable`] when no HTTP client can be made.
	pub fn new(url: &str) -> Result<Self, RelayError> {
		let url = url.trim_end_matches('/').to_owned();
		let http = reqwest::Client::builder()
			.connect_timeout(limits::CONNECT_MAX)
			.timeout(limits::ENCLAVE_ANSWER_MAX)
			// The server is on loopback or a private network: never by way of a proxy.
			.no_proxy()
			.redirect(reqwest::redirect::Policy::none())
			.build()
			.map_err(|error| RelayError::EnclaveUnreachable {
				url: url.clone(),
				reason: chain_of(&error),
			})?;
		Ok(Self { url, http })
	}

	/// Where it is.
	pub fn url(&self) -> &str {
		&self.url
	}

	/// Where the enclave stands.
	///
	/// # Errors
	/// As all methods: [`RelayError::EnclaveUnreachable`], [`RelayError::EnclaveAnswer`],
	/// [`RelayError::EnclaveRefused`].
	pub async fn status(&self) -> Result<EnclaveStatus, RelayError> {
		self.get(paths::STATUS).await
	}

	/// Brings block 0 and the first authority set.
	pub async fn genesis(&self, bundle: &GenesisBundle) -> Result<(), RelayError> {
		self.post_bytes(paths::GENESIS, bundle.encode()).await.map(drop)
	}

	/// Brings finality, proofs and messages; returns the status after them.
	pub async fn sync(&self, bundle: &SyncBundle) -> Result<EnclaveStatus, RelayError> {
		self.post(paths::SYNC, bundle.encode()).await
	}

	/// Asks for evidence to register with, bound to the operator.
	pub async fn registration(&self, operator: AccountBytes) -> Result<Registration, RelayError> {
		self.post(paths::REGISTRATION, operator.encode()).await
	}

	/// All envelopes that the enclave does not know to be consumed.
	pub async fn envelopes(&self) -> Result<Vec<Envelope>, RelayError> {
		self.get(paths::ENVELOPES).await
	}

	/// Posts any bytes, right or wrong; for those who play a lying relayer.
	pub async fn post_bytes(
		&self,
		path: &'static str,
		body: Vec<u8>,
	) -> Result<Vec<u8>, RelayError> {
		let request = self.http.post(self.at(path)).body(body);
		let request = request.header("content-type", "application/octet-stream");
		self.answer(path, request).await
	}

	async fn get<T: Decode>(&self, path: &'static str) -> Result<T, RelayError> {
		decode(path, &self.answer(path, self.http.get(self.at(path))).await?)
	}

	async fn post<T: Decode>(&self, path: &'static str, body: Vec<u8>) -> Result<T, RelayError> {
		decode(path, &self.post_bytes(path, body).await?)
	}

	fn at(&self, path: &str) -> String {
		format!("{}{path}", self.url)
	}

	async fn answer(
		&self,
		path: &'static str,
		request: reqwest::RequestBuilder,
	) -> Result<Vec<u8>, RelayError> {
		let unreachable = |error: reqwest::Error| RelayError::EnclaveUnreachable {
			url: self.url.clone(),
			reason: chain_of(&error),
		};
		let mut answer = request.send().await.map_err(unreachable)?;
		let status = answer.status();
		let mut body = Vec::new();
		while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
			if body.len() + chunk.len() > limits::ENCLAVE_ANSWER_BYTES_MAX {
				let max = limits::ENCLAVE_ANSWER_BYTES_MAX;
				return Err(RelayError::EnclaveAnswer {
					path,
					reason: format!("over {max} bytes"),
				});
			}
			body.extend_from_slice(&chunk);
		}
		if status.is_success() {
			return Ok(body);
		}
		let (name, message) = refusal(&body);
		Err(RelayError::EnclaveRefused { path, status: status.as_u16(), name, message })
	}
}

fn decode<T: Decode>(path: &'static str, bytes: &[u8]) -> Result<T, RelayError> {
	T::decode_all(&mut &bytes[..])
		.map_err(|error| RelayError::EnclaveAnswer { path, reason: error.to_string() })
}

/// Name and text of a refusal.
fn refusal(body: &[u8]) -> (String, String) {
	#[derive(serde::Deserialize)]
	struct Refusal {
		error: String,
		#[serde(default)]
		message: String,
	}
	match serde_json::from_slice::<Refusal>(body) {
		Ok(Refusal { error, message }) => (error, message),
		Err(_) => {
			const SHOWN_CHARACTERS_MAX: usize = 200;
			let text = String::from_utf8_lossy(body);
			("an unnamed error".into(), text.chars().take(SHOWN_CHARACTERS_MAX).collect())
		}
	}
}

/// An error with what it came from: reqwest's own text leaves out the reason.
fn chain_of(error: &dyn std::error::Error) -> String {
	let mut text = error.to_string();
	let mut source = error.source();
	while let Some(cause) = source {
		text = format!("{text}: {cause}");
		source = cause.source();
	}
	text
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_refusal_is_read_by_name_and_an_unnamed_one_is_shown_shortened() {
		let named = br#"{"error":"NotNewer","message":"block 3 is not newer"}"#;
		assert_eq!(refusal(named), ("NotNewer".into(), "block 3 is not newer".into()));
		let (name, message) = refusal("x".repeat(1_000).as_bytes());
		assert_eq!((name.as_str(), message.len()), ("an unnamed error", 200));
	}

	#[tokio::test]
	async fn an_enclave_that_is_not_there_is_named_with_its_address() {
		let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
		let url = format!("http://{}", listener.local_addr().expect("bound"));
		drop(listener);
		let error = EnclaveClient::new(&url).expect("a client").status().await;
		let error = error.expect_err("nobody is there");
		assert!(error.is_of_enclave_connection());
		assert!(error.to_string().contains(&url), "{error}");
	}
}
