// Errors of cpgring: one code for each cause, and a text that says what is wrong and what to do.
//
// Every call that can fail returns result<T> (result.hpp). Only result::value() and the constructors of
// engine and embedded_service throw: std::system_error with these codes. "Would block" is the value
// errc::try_again.
#pragma once

#if __cplusplus < 202002L
#error "cpgring needs C++20: compile with -std=c++20"
#else

#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace cpgring {

/// Causes of failures.
/// - 2..100 are the numbers of corosync's cs_error_t (corosync/corotypes.h), so a service's code can be
///   compared with what libcpg would have returned. "From the service" marks codes that this library only
///   passes on.
/// - 1001 and above are causes for which cs_error_t has no number.
enum class errc : int {
  library = 2,  ///< the service or its transport failed without giving a reason
  version = 3,  ///< from the service: it speaks another protocol version
  init = 4,     ///< from the service: it could not set itself up
  /// The deadline passed. Remedy: a longer deadline, or find out why the service is slow or stopped.
  timeout = 5,
  /// Not possible now: flow control, a full ring or queue, a sync phase. Remedy: wait for
  /// callbacks::on_writable.
  try_again = 6,
  invalid_param = 7,  ///< an argument is out of its range; the text names it
  no_memory = 8,      ///< out of memory
  bad_handle = 9,     ///< the handle is closed or was never open
  busy = 10,          ///< a reservation is open on this handle: commit or destroy it first
  /// The service refuses this user, or runs as a user that is not trusted (handle_options::service_uid); the
  /// text says which. Remedy: run as root, or allow the uid in corosync's uidgid.d.
  access = 11,
  not_exist = 12,            ///< from the service: not joined, or no such object
  name_too_long = 13,        ///< a group name is longer than 128 bytes
  exist = 14,                ///< already joined, or this process is in that group through another handle
  no_space = 15,             ///< /dev/shm is full; remedy: a larger /dev/shm, or a smaller ring_bytes
  interrupt = 16,            ///< a membership change tore a message above the atomic limit; send it again
  name_not_found = 17,       ///< no such user (embedded_service_options::user), or from the service
  no_resources = 18,         ///< from the service
  not_supported = 19,        ///< the service does not support this request or this kind of connection
  bad_operation = 20,        ///< from the service
  failed_operation = 21,     ///< from the service
  message_error = 22,        ///< from the service: it received an invalid message
  queue_full = 23,           ///< from the service
  queue_not_available = 24,  ///< from the service
  bad_flags = 25,            ///< from the service
  too_big = 26,              ///< the message is above the limit of this handle
  no_sections = 27,          ///< from the service: an iteration has no more entries
  context_not_found = 28,    ///< from the service
  too_many_groups = 30,      ///< from the service
  security = 100,            ///< from the service

  /// No service listens under this name. Remedy: start corosync, check name and network namespace.
  service_absent = 1001,
  service_not_ready,  ///< the service accepts no clients yet (corosync: before its first sync); try again
  service_lost,       ///< the service hung up; the events in the ring have been delivered
  malformed,  ///< the service's bytes broke the protocol; the text names the field; the connection ended
  /// Out of file descriptors. Remedy: raise RLIMIT_NOFILE of this process or of the service; the text says
  /// which.
  no_descriptors,
  /// Out of memory mappings or address space. Remedy: raise vm.max_map_count (9 for each handle) or
  /// RLIMIT_AS; the text says which.
  no_mappings,
  not_joined,    ///< the handle is not (or no longer) in a group
  spent,         ///< the handle has left its group; a stock service never lets it join again: open a new one
  closed,        ///< the user closed the handle
  stopped,       ///< the engine was stopped
  wrong_thread,  ///< another thread drives the engine
  wrong_state,   ///< the call is not allowed in the present state; the text says why
  callback_threw,      ///< a callback threw; its handle was closed, other handles go on
  unsupported_kernel,  ///< the kernel lacks or refuses what an option requires; the text names it
  forked,              ///< the engine belongs to the parent process
  overloaded,  ///< callbacks fell behind up to a limit, or leases reached one; the text names the limit
};

}  // namespace cpgring

template <>
struct std::is_error_code_enum<cpgring::errc> : std::true_type {};

namespace cpgring {

/// The category of errc, named "cpgring". There is one object in the process.
const std::error_category& error_category() noexcept;
std::error_code make_error_code(errc code) noexcept;

/// The error of a failed call: a code for programs, a text for humans. `text` may be empty where "not now" is
/// usual; message() is never empty.
struct error {
  std::error_code code;
  std::string text;

  error(std::error_code c, std::string t) : code(c), text(std::move(t)) {}
  error(errc c, std::string t) : code(make_error_code(c)), text(std::move(t)) {}
  explicit error(errc c) : code(make_error_code(c)) {}

  /// `text`, or the message of the code if `text` is empty.
  [[nodiscard]] std::string message() const { return text.empty() ? code.message() : text; }
  friend bool operator==(const error& e, errc c) noexcept { return e.code == make_error_code(c); }
};

}  // namespace cpgring

#endif
