use async_trait::async_trait;
use std::io;
use std::net::IpAddr;

/// Finds the addresses of a name.
#[async_trait]
pub trait Resolve: Send + Sync {
	async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The operating system's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolve for SystemResolver {
	async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
		Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
	}
}
