// Errors of cpgring: one code for each cause, a text that says what was wrong and what to do.
//
// Every call that can fail returns result<T>. Nothing is thrown except by the constructors of engine and
// embedded_service (std::system_error with these same codes). "Would block" is the value errc::try_again, not an exception.
#pragma once

#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <tl/expected.hpp>

namespace cpgring {

/// Causes. 2..100 carry the numbers of corosync's cs_error_t (corosync/corotypes.h), so that a code from a service can be
/// compared with what libcpg would have returned; from 1001 on they are our own, for causes that cs_error_t has no word for.
enum class errc : int {
  library = 2,               ///< the service or its transport failed in a way it does not explain
  version = 3,               ///< the service speaks another protocol version
  init = 4,                  ///< the service could not set itself up
  timeout = 5,               ///< the deadline passed; remedy: a longer deadline, or look why the service is slow or stopped
  try_again = 6,             ///< not now (flow control, full ring, sync phase); remedy: wait for the `writable` callback
  invalid_param = 7,         ///< an argument is out of its range; the text names it
  no_memory = 8,             ///< memory is used up
  bad_handle = 9,            ///< the handle is closed or was never open
  busy = 10,                 ///< a join or leave is still under way on this handle
  access = 11,               ///< the service refuses this user, or is run by one that is not trusted (handle_options::service_uid);
                             ///< remedy: run as root or allow the uid in corosync's uidgid.d; the text says which
  not_exist = 12,            ///< not joined, or no such thing
  name_too_long = 13,        ///< a group name is longer than 128 bytes
  exist = 14,                ///< already joined, or this process is in that group through another handle
  no_space = 15,             ///< /dev/shm is full; remedy: a larger /dev/shm, or a smaller max_message_size
  interrupt = 16,            ///< a message above the atomic limit was torn by a membership change; send it again
  name_not_found = 17,       ///< as cs_error_t
  no_resources = 18,         ///< as cs_error_t
  not_supported = 19,        ///< the service does not know this request
  bad_operation = 20,        ///< as cs_error_t
  failed_operation = 21,     ///< as cs_error_t
  message_error = 22,        ///< the connection carried bytes that are no valid message
  queue_full = 23,           ///< as cs_error_t
  queue_not_available = 24,  ///< as cs_error_t
  bad_flags = 25,            ///< as cs_error_t
  too_big = 26,              ///< the message is above the limit that the handle was opened with
  no_sections = 27,          ///< an iteration has come to its end
  context_not_found = 28,    ///< as cs_error_t
  too_many_groups = 30,      ///< as cs_error_t
  security = 100,            ///< as cs_error_t

  service_absent = 1001,  ///< nothing listens under that service name; remedy: start corosync, check name and namespace
  service_not_ready,      ///< the service is there but does not take clients yet (corosync: before its first sync); retry
  service_lost,           ///< the service hung up; what was in the event ring has been delivered
  malformed,              ///< foreign bytes broke the protocol; the text names the field; this connection ended
  no_descriptors,         ///< out of file descriptors; remedy: raise RLIMIT_NOFILE (ours or the service's: see the text)
  no_mappings,  ///< out of memory mappings or address space; remedy: raise vm.max_map_count (9 for each handle) or RLIMIT_AS (see the text)
  not_joined,   ///< the handle is not (or no longer) in a group
  spent,        ///< the handle has left its group; a stock service never lets it join again: open a new one
  closed,       ///< closed by the user
  stopped,      ///< the engine was stopped
  wrong_thread,        ///< the engine is driven by another thread
  wrong_state,         ///< the call does not fit the state of handle or engine; the text names the state
  callback_threw,      ///< a callback threw; its handle was ended, others go on
  ring_too_small,      ///< max_message_size does not hold what was asked for
  unsupported_kernel,  ///< the kernel lacks or refuses what was forced by an option; the text names the option or the system call
  forked,              ///< the engine belongs to the parent process
  overloaded,          ///< a consumer fell behind and its limit was reached; the text names the limit
};

}  // namespace cpgring

template <>
struct std::is_error_code_enum<cpgring::errc> : std::true_type {};

namespace cpgring {

/// The category of errc; its name is "cpgring". One object in the process, whatever library asks.
const std::error_category& error_category() noexcept;
std::error_code make_error_code(errc code) noexcept;

/// What failed calls return: a code to decide by and a text for humans. The text may be empty on paths where
/// "not now" is usual; message() is never empty.
struct error {
  std::error_code code;
  std::string text;

  error(std::error_code c, std::string t) : code(c), text(std::move(t)) {}
  error(errc c, std::string t) : code(make_error_code(c)), text(std::move(t)) {}
  explicit error(errc c) : code(make_error_code(c)) {}

  /// text, or the code's own message where text is empty.
  [[nodiscard]] std::string message() const { return text.empty() ? code.message() : text; }
  friend bool operator==(const error& e, errc c) noexcept { return e.code == make_error_code(c); }
};

/// A value, or why there is none.
template <class T>
using result = tl::expected<T, error>;

/// Shorthand for `return fail(errc::x, "what was wrong; what to do")`.
inline tl::unexpected<error> fail(errc code, std::string text = {}) { return tl::unexpected<error>(error(code, std::move(text))); }
inline tl::unexpected<error> fail(error e) { return tl::unexpected<error>(std::move(e)); }
/// The same for an errno value: `what` says which call on what failed.
tl::unexpected<error> fail_errno(int errno_value, std::string_view what);

}  // namespace cpgring
