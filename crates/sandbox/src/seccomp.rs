//! System calls that a sandbox refuses.
//!
//! The user namespace is the wall; this is a second belt that takes parts of the kernel out of reach which no build
//! and no server in a container needs, and which have been doors before. Only the native system call table is
//! allowed: 32-bit programs end with SIGSYS.

use std::collections::BTreeMap;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

use crate::error::{Error, Result};

/// What kind of life a sandbox leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Package scripts: also no mounts and no namespaces; `fsync` and its kin succeed at once, because a build's
    /// result is made durable by the store, not by the scripts.
    Build,
    /// A whole server with its init system.
    Machine,
}

/// Refused in every sandbox, with EPERM.
const NEVER: &[libc::c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_nfsservctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_perf_event_open,
    libc::SYS_quotactl,
    libc::SYS_request_key,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_vhangup,
];

/// Refused in every sandbox on this architecture alone.
#[cfg(target_arch = "x86_64")]
const NEVER_HERE: &[libc::c_long] =
    &[libc::SYS_ioperm, libc::SYS_iopl, libc::SYS_kexec_file_load, libc::SYS_modify_ldt, libc::SYS_uselib];
#[cfg(not(target_arch = "x86_64"))]
const NEVER_HERE: &[libc::c_long] = &[];

/// Answered with ENOSYS in every sandbox: programs know how to do without.
const UNKNOWN: &[libc::c_long] =
    &[libc::SYS_io_uring_enter, libc::SYS_io_uring_register, libc::SYS_io_uring_setup, libc::SYS_userfaultfd];

/// Refused in builds, with EPERM.
const NOT_IN_BUILDS: &[libc::c_long] = &[
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_pivot_root,
    libc::SYS_setns,
    libc::SYS_umount2,
    libc::SYS_unshare,
];

/// Done already as far as builds are concerned.
const DURABILITY: &[libc::c_long] = &[
    libc::SYS_fdatasync,
    libc::SYS_fsync,
    libc::SYS_msync,
    libc::SYS_sync,
    libc::SYS_sync_file_range,
    libc::SYS_syncfs,
];

impl Profile {
    /// The programs to install, in order.
    pub(crate) fn programs(self) -> Result<Vec<BpfProgram>> {
        let mut programs = vec![filter(NEVER.iter().chain(NEVER_HERE), libc::EPERM)?, filter(UNKNOWN, libc::ENOSYS)?];
        if self == Profile::Build {
            programs.push(filter(NOT_IN_BUILDS, libc::EPERM)?);
            programs.push(filter(DURABILITY, 0)?);
        }
        Ok(programs)
    }
}

fn filter<'a>(calls: impl IntoIterator<Item = &'a libc::c_long>, errno: i32) -> Result<BpfProgram> {
    let wrong = |e: seccompiler::BackendError| Error::Invalid(format!("no system call filter for this machine: {e}"));
    let rules: BTreeMap<i64, Vec<_>> = calls.into_iter().map(|call| (*call, Vec::new())).collect();
    let architecture = std::env::consts::ARCH.try_into().map_err(wrong)?;
    SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(errno as u32), architecture)
        .and_then(BpfProgram::try_from)
        .map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_compiles_to_programs_the_kernel_takes() {
        for profile in [Profile::Build, Profile::Machine] {
            for program in profile.programs().unwrap() {
                assert!((1..4096).contains(&program.len()));
            }
        }
    }
}
