//! Steps as child processes of this machine.
