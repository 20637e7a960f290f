//! `portway demo`.

use clap::Args;
use std::path::PathBuf;

#[derive(Args, Debug)]
#[command(after_help = "\
Everything happens on this machine, over loopback; nothing is asked of the network.

Examples:
  portway demo
  portway demo --output /tmp/race.svg -v")]
pub(crate) struct DemoArguments {
    /// Where to draw the race's waterfall
    #[arg(short, long, value_name = "FILE", default_value = "portway-demo.svg")]
    pub(crate) output: PathBuf,
    /// Tell every decision of the race as it is made
    #[arg(short, long)]
    pub(crate) verbose: bool,
}
