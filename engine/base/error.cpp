#include <cpgring/result.hpp>

#include <cstring>
#include <string>
#include <system_error>

#include <fmt/format.h>

namespace cpgring {
namespace {

struct category final : std::error_category {
  [[nodiscard]] const char* name() const noexcept override { return "cpgring"; }

  [[nodiscard]] std::string message(int value) const override {
    switch (static_cast<errc>(value)) {
      case errc::library: return "the service or its transport failed";
      case errc::version: return "the service speaks another protocol version";
      case errc::init: return "the service could not set itself up";
      case errc::timeout: return "the deadline passed before the service answered";
      case errc::try_again:
        return "not possible now: flow control, a full ring or a sync phase; wait for on_writable";
      case errc::invalid_param: return "an argument is out of its range";
      case errc::no_memory: return "out of memory";
      case errc::bad_handle: return "the handle is not open";
      case errc::busy: return "a reservation is open on this handle";
      case errc::access:
        return "the service refuses this user; run as root or allow the uid in corosync's uidgid.d";
      case errc::not_exist: return "not joined, or no such thing";
      case errc::name_too_long: return "a group name has at most 128 bytes";
      case errc::exist: return "already joined, or this process is in the group through another handle";
      case errc::no_space: return "/dev/shm is full; enlarge it or use a smaller ring_bytes";
      case errc::interrupt: return "a membership change tore a message above the atomic limit; send it again";
      case errc::name_not_found: return "name not found";
      case errc::no_resources: return "the service is out of resources";
      case errc::not_supported: return "the service does not know this request";
      case errc::bad_operation: return "bad operation";
      case errc::failed_operation: return "failed operation";
      case errc::message_error: return "the service received an invalid message";
      case errc::queue_full: return "a queue in the service is full";
      case errc::queue_not_available: return "a queue in the service is not available";
      case errc::bad_flags: return "bad flags";
      case errc::too_big: return "the message is above the limit of this handle";
      case errc::no_sections: return "the iteration has no more entries";
      case errc::context_not_found: return "context not found";
      case errc::too_many_groups: return "too many groups";
      case errc::security: return "security error";
      case errc::service_absent:
        return "no service listens under this name; start corosync or check name and network namespace";
      case errc::service_not_ready: return "the service accepts no clients yet; try again";
      case errc::service_lost: return "the service hung up";
      case errc::malformed: return "the service sent bytes that break the protocol; this connection ended";
      case errc::no_descriptors: return "out of file descriptors; raise RLIMIT_NOFILE";
      case errc::no_mappings: return "out of memory mappings; raise vm.max_map_count";
      case errc::not_joined: return "the handle is not in a group";
      case errc::spent: return "the handle has left its group; open a new one";
      case errc::closed: return "closed";
      case errc::stopped: return "the engine was stopped";
      case errc::wrong_thread: return "the engine is driven by another thread";
      case errc::wrong_state: return "the call is not allowed in the present state";
      case errc::callback_threw: return "a callback threw an exception; its handle was closed";
      case errc::unsupported_kernel: return "the kernel lacks or refuses what an option requires";
      case errc::forked: return "the engine belongs to the parent process; open one after fork";
      case errc::overloaded: return "callbacks fell behind, or leases are held, up to a limit";
    }
    return fmt::format("unknown code {}", value);
  }

  [[nodiscard]] std::error_condition default_error_condition(int value) const noexcept override {
    switch (static_cast<errc>(value)) {
      case errc::timeout: return std::errc::timed_out;
      case errc::try_again: return std::errc::resource_unavailable_try_again;
      case errc::invalid_param: return std::errc::invalid_argument;
      case errc::no_memory: return std::errc::not_enough_memory;
      case errc::bad_handle: return std::errc::bad_file_descriptor;
      case errc::busy: return std::errc::device_or_resource_busy;
      case errc::access: return std::errc::permission_denied;
      case errc::no_space: return std::errc::no_space_on_device;
      case errc::interrupt: return std::errc::interrupted;
      case errc::too_big: return std::errc::message_size;
      case errc::not_supported: return std::errc::not_supported;
      case errc::service_absent: return std::errc::connection_refused;
      case errc::service_lost: return std::errc::connection_reset;
      case errc::malformed: return std::errc::bad_message;
      case errc::no_descriptors: return std::errc::too_many_files_open;
      case errc::not_joined: return std::errc::not_connected;
      default: return {value, *this};
    }
  }
};

/// std::system_error appends the code's own message to the text, which reads as if two errors had happened.
class error_with_text final : public std::system_error {
 public:
  explicit error_with_text(const error& why) : std::system_error(why.code), text_(why.message()) {}
  [[nodiscard]] const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

}  // namespace

const std::error_category& error_category() noexcept {
  static const category instance;
  return instance;
}

std::error_code make_error_code(errc code) noexcept { return {static_cast<int>(code), error_category()}; }

failure fail_errno(int errno_value, std::string_view what) {
  std::error_code code(errno_value, std::system_category());
  return fail(error(code, fmt::format("{}: {}", what, code.message())));
}

void detail::throw_error(const error& why) { throw error_with_text(why); }

}  // namespace cpgring
