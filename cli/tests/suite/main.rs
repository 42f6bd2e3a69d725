//! The `turno` program as a user meets it: started as a process, on free ports, judged by what it
//! prints, answers and exits with. No test knows how the program is made.

mod harness;

mod access;
mod agent;
mod alone;
mod durable;
mod inquiry;
mod queue;
mod run;
mod snapshot;
mod systemd;
mod template;
mod twins;
mod up;
mod usage;
