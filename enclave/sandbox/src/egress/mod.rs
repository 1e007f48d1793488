use crate::host::*;
use phala_agent_manifest::EgressRule;
pub struct EgressClient;
impl EgressClient {
    pub fn new(_: Vec<String>) -> Self { Self }
    pub async fn fetch(&self, _: &[EgressRule], _: FetchCall) -> Result<FetchReply, HostRefusal> { todo!() }
}
