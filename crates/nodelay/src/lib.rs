//! `TCP_NODELAY` for connections of a library that does not set it, and does not let us.
//!
//! sqlx 0.9 leaves Nagle's algorithm on. The last segment of a statement of several segments is then held back until the
//! server has acknowledged the ones before, which it delays by up to 40 ms: on two cores that cost a third of the cluster's
//! speed (`docs/benchmarks.md`). When sqlx sets the option itself, this crate goes.
//!
//! Linux only; elsewhere nothing happens. A connection that is not found, as through a proxy of its own, is as slow as before,
//! and otherwise well.

/// Switches Nagle's algorithm off for all of this process's TCP connections to this port of any host. Returns for how many.
/// It costs microseconds, and may be done again.
///
/// # Errors
/// What the system says when it is asked for the process's connections.
pub fn set_for_port(port: u16) -> std::io::Result<usize> {
    #[cfg(target_os = "linux")]
    let set = linux::set_for_port(port)?;
    #[cfg(not(target_os = "linux"))]
    let (set, _) = (0, port);
    Ok(set)
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::HashSet;
    use std::ffi::c_int;
    use std::fs;
    use std::io;

    pub(super) fn set_for_port(port: u16) -> io::Result<usize> {
        let mut inodes = HashSet::new();
        for table in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
            match fs::read_to_string(table) {
                Ok(text) => inodes.extend(text.lines().filter_map(|line| inode(line, port).map(str::to_owned))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let mut set = 0;
        for entry in fs::read_dir("/proc/self/fd")? {
            let entry = entry?;
            // One that was closed meanwhile has no target.
            let Ok(target) = fs::read_link(entry.path()) else { continue };
            let inode = target.to_str().and_then(|target| target.strip_prefix("socket:[")?.strip_suffix(']'));
            let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if let (Some(inode), Some(number)) = (inode, number)
                && inodes.contains(inode)
                && set_nodelay(number).is_ok()
            {
                set += 1;
            }
        }
        Ok(set)
    }

    /// The inode in a line of the table of connections, if that one goes to this port (proc(5)): the third field is the other
    /// end, the tenth the inode.
    pub(super) fn inode(line: &str, port: u16) -> Option<&str> {
        let mut fields = line.split_ascii_whitespace();
        let (_, other_port) = fields.nth(2)?.rsplit_once(':')?;
        let inode = fields.nth(6)?;
        (u16::from_str_radix(other_port, 16) == Ok(port)).then_some(inode)
    }

    #[expect(unsafe_code, reason = "the standard library sets options only of sockets that it owns")]
    fn set_nodelay(descriptor: c_int) -> io::Result<()> {
        let on: c_int = 1;
        let size = libc::socklen_t::try_from(size_of_val(&on)).map_err(io::Error::other)?;
        // SAFETY: the pointer is to `on`, which outlives the call, with its size. The descriptor may have been closed, or be
        // another by now: then the system answers with an error, or one more connection sends its segments at once.
        let answer =
            unsafe { libc::setsockopt(descriptor, libc::IPPROTO_TCP, libc::TCP_NODELAY, (&raw const on).cast(), size) };
        if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn connections_to_the_port_and_no_others_send_at_once() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(server) = TcpListener::bind(address) else { continue };
            let other_server = TcpListener::bind(address).expect("a port");
            let address = server.local_addr().expect("an address");
            let connection = TcpStream::connect(address).expect("a connection");
            let other = TcpStream::connect(other_server.local_addr().expect("an address")).expect("a connection");
            assert!(!connection.nodelay().expect("an option"));
            assert_eq!(set_for_port(address.port()).expect("the connections"), 1);
            assert!(connection.nodelay().expect("an option"));
            assert!(!other.nodelay().expect("an option"));
        }
    }

    #[test]
    fn a_line_that_is_none_is_no_connection() {
        assert_eq!(linux::inode("", 1), None);
        assert_eq!(
            linux::inode(
                "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
                1
            ),
            None
        );
    }
}
