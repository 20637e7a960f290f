//! `portway get`: proxies and credentials, with curl's names for them.

use clap::Args;
use std::path::PathBuf;

/// Through what, and with which credentials.
#[derive(Args, Debug)]
#[command(next_help_heading = "Proxies and credentials")]
pub(crate) struct AccessArguments {
    /// Go through this proxy: http://, https://, socks5:// or socks5h://; without, what http_proxy,
    /// https_proxy and all_proxy say; with nothing in it, through none
    #[arg(short = 'x', long, value_name = "URL")]
    pub(crate) proxy: Option<String>,
    /// Reach these directly, whatever no_proxy says: names, addresses, networks, * for all
    #[arg(long, value_name = "LIST")]
    pub(crate) noproxy: Option<String>,
    /// Show these credentials to the proxy, instead of what stands in its URL
    #[arg(short = 'U', long, value_name = "USER:PASSWORD")]
    pub(crate) proxy_user: Option<String>,
    /// Prove them to the proxy by Digest
    #[arg(long)]
    pub(crate) proxy_digest: bool,
    /// Believe only https:// proxies that a certificate in this file vouches for (PEM or DER);
    /// without, those whom servers are believed by
    #[arg(long, value_name = "FILE", conflicts_with = "proxy_insecure")]
    pub(crate) proxy_cacert: Option<PathBuf>,
    /// Believe any https:// proxy; --insecure is for servers alone
    #[arg(long)]
    pub(crate) proxy_insecure: bool,
    /// Show these credentials to the server, instead of what stands in the URL
    #[arg(short, long, value_name = "USER:PASSWORD")]
    pub(crate) user: Option<String>,
    /// Show them by Basic, at once, which is usual
    #[arg(long)]
    pub(crate) basic: bool,
    /// Prove them by Digest
    #[arg(long, conflicts_with = "basic")]
    pub(crate) digest: bool,
    /// Prove them by Digest, or show them by Basic where the server asks for nothing better
    #[arg(long, conflicts_with_all = ["basic", "digest"])]
    pub(crate) anyauth: bool,
    /// Show this token to the server
    #[arg(long, value_name = "TOKEN", conflicts_with = "user")]
    pub(crate) oauth2_bearer: Option<String>,
}
