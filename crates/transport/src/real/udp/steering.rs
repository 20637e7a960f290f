//! Sockets that share a port, and the program that gives each packet to one of them.
//!
//! Invariant: the program computes [`shard_of`](crate::environment::shard_of).

use crate::environment::shard_offset;
use socket2::Socket;
use std::io;
use std::mem;
use std::os::fd::AsRawFd;

/// Lets other sockets be bound to the same address. To be called before `bind`.
pub(super) fn share_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

/// Attaches the program to all sockets of the address. To be called after `bind`; the last one
/// that is attached counts, and all are the same.
pub(super) fn steer(socket: &Socket, shards: u16) -> io::Result<()> {
    let (short, long) = (shard_offset(0x00), shard_offset(0x80));
    let mut program = [
        // The packet's first byte, whose highest bit marks a long header.
        statement(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0),
        jump(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, 0x80, 0, 2),
        statement(libc::BPF_LD | libc::BPF_H | libc::BPF_ABS, long as u32),
        statement(libc::BPF_JMP | libc::BPF_JA, 1),
        statement(libc::BPF_LD | libc::BPF_H | libc::BPF_ABS, short as u32),
        // A load beyond the packet's end has ended the program with zero before this.
        statement(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K, shards.into()),
        statement(libc::BPF_RET | libc::BPF_A, 0),
    ];
    let program = libc::sock_fprog {
        len: program.len() as libc::c_ushort,
        filter: program.as_mut_ptr(),
    };
    let len = mem::size_of::<libc::sock_fprog>() as libc::socklen_t;
    // SAFETY: the header and the instructions that it points to live through the call, and the
    // lengths are theirs; the system copies both.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const program).cast(),
            len,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn statement(code: u32, k: u32) -> libc::sock_filter {
    jump(code, k, 0, 0)
}

fn jump(code: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    }
}
