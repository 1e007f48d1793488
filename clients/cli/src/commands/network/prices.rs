//! Where price-oracle asks for prices: three local stand-ins, or what `PHALA_PRICE_URLS` names.
//!
//! The stand-ins are for work without a network. They always say the same, and one of them is far
//! off, so that there is something for the agent to leave out.

use anyhow::{ensure, Context};
use axum::{routing::get, Json, Router};
use serde_json::{json, Value};
use tokio::net::TcpListener;

/// Names other sources: three URLs, comma separated. After `#` stands where the price is in the JSON
/// that the URL answers with (`price` if not said), as in `https://host/path#data.amount`.
pub const VARIABLE: &str = "PHALA_PRICE_URLS";

/// What the stand-ins say. The last is the outlier.
pub const STAND_IN_PRICES: [f64; 3] = [64_000.0, 64_080.0, 91_234.0];

const SOURCES: usize = 3;
const PATH_DEFAULT: &str = "price";

/// A source of prices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
	pub url: url::Url,
	/// Where the price is in its answer.
	pub price: String,
}

/// Three sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
	pub sources: Vec<Source>,
	pub are_stand_ins: bool,
}

impl Sources {
	/// Those of [`VARIABLE`], or else stand-ins, which serve as long as this process runs.
	pub async fn find() -> anyhow::Result<Self> {
		match std::env::var(VARIABLE) {
			Ok(urls) if !urls.trim().is_empty() => {
				parse(&urls).with_context(|| format!("{VARIABLE} was refused"))
			}
			_ => stand_ins().await.context("cannot start the local price servers"),
		}
	}

	/// `host:port` of those on loopback, which agents reach in development only.
	pub fn loopback(&self) -> Vec<String> {
		let on_loopback = self.sources.iter().filter(|source| is_loopback(&source.url));
		on_loopback.map(|source| authority(&source.url)).collect()
	}

	/// price-oracle's manifest with these sources in place of its own.
	pub fn put_into(&self, manifest: &mut Value) -> anyhow::Result<()> {
		let manifest = manifest.as_object_mut().context("the manifest is no JSON object")?;
		let egress =
			|source: &Source| format!("{}://{}", source.url.scheme(), authority(&source.url));
		manifest.insert("egress".into(), self.sources.iter().map(egress).collect());
		let sources = self.sources.iter();
		let sources =
			sources.map(|source| json!({ "url": source.url.as_str(), "price": source.price }));
		let sources = Value::Array(sources.collect()).to_string();
		let config = manifest.entry("config").or_insert_with(|| json!({}));
		config
			.as_object_mut()
			.context("its config is no object")?
			.insert("sources".into(), sources.into());
		Ok(())
	}
}

/// Whether a URL leads to this machine.
pub fn is_loopback(url: &url::Url) -> bool {
	match url.host() {
		Some(url::Host::Ipv4(address)) => address.is_loopback(),
		Some(url::Host::Ipv6(address)) => address.is_loopback(),
		Some(url::Host::Domain(name)) => name == "localhost",
		None => false,
	}
}

/// `host:port`.
pub fn authority(url: &url::Url) -> String {
	let port = url.port_or_known_default().unwrap_or_default();
	format!("{}:{port}", url.host_str().unwrap_or_default())
}

fn parse(urls: &str) -> anyhow::Result<Sources> {
	let sources = urls.split(',').map(|text| {
		let text = text.trim();
		let mut url: url::Url = text
			.parse()
			.with_context(|| format!("{text:?} is no URL, as in https://host/path#price"))?;
		ensure!(
			["http", "https"].contains(&url.scheme()) && url.has_host(),
			"{text:?} is neither http nor https"
		);
		let price = url.fragment().unwrap_or(PATH_DEFAULT).to_owned();
		url.set_fragment(None);
		Ok(Source { url, price })
	});
	let sources = sources.collect::<anyhow::Result<Vec<_>>>()?;
	ensure!(
		sources.len() == SOURCES,
		"it has {} URLs; {SOURCES} are needed, comma separated",
		sources.len()
	);
	Ok(Sources { sources, are_stand_ins: false })
}

async fn stand_ins() -> anyhow::Result<Sources> {
	let mut sources = Vec::new();
	for price in STAND_IN_PRICES {
		let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
		let url = format!("http://{}/price", listener.local_addr()?).parse()?;
		let answer = move || async move { Json(json!({ "pair": "BTC/USD", "price": price })) };
		let router = Router::new().route("/price", get(answer));
		tokio::spawn(async move { axum::serve(listener, router).await });
		sources.push(Source { url, price: PATH_DEFAULT.into() });
	}
	Ok(Sources { sources, are_stand_ins: true })
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn three_urls_are_taken_with_the_way_to_the_price_after_the_hash() {
		let found =
			parse("https://a.com/x#data.amount, https://b.com/y ,http://127.0.0.1:81/").unwrap();
		assert!(!found.are_stand_ins);
		assert_eq!(found.sources[0].price, "data.amount");
		assert_eq!(found.sources[0].url.as_str(), "https://a.com/x");
		assert_eq!(found.sources[1].price, "price");
		assert_eq!(found.loopback(), ["127.0.0.1:81"]);
	}

	#[test]
	fn other_numbers_of_urls_and_what_is_none_are_refused() {
		for wrong in ["https://a.com,https://b.com", "a,b,c", "ftp://a.com,ftp://b.com,ftp://c.com"]
		{
			assert!(parse(wrong).is_err(), "{wrong}");
		}
	}

	#[tokio::test]
	async fn stand_ins_answer_and_are_all_that_the_manifest_lets_the_agent_reach() {
		let found = stand_ins().await.unwrap();
		let answer: Value =
			reqwest::get(found.sources[2].url.clone()).await.unwrap().json().await.unwrap();
		assert_eq!(answer["price"], STAND_IN_PRICES[2]);

		let mut manifest = json!({
			"name": "price-oracle", "egress": ["api.kraken.com"],
			"config": { "pair": "BTC/USD", "sources": "[]" },
		});
		found.put_into(&mut manifest).unwrap();
		let manifest: phala_agent_manifest::Manifest = serde_json::from_value(manifest).unwrap();
		manifest.check().unwrap();
		assert_eq!((manifest.egress.len(), found.loopback().len()), (SOURCES, SOURCES));
		assert_eq!(manifest.config["pair"], "BTC/USD");
		assert!(manifest.config["sources"].contains(&found.loopback()[0]));
	}
}
