#include "cli/command.hpp"

#include <sys/resource.h>

#include <unistd.h>

#include <memory>
#include <utility>

#include <fmt/format.h>

#include "cli/log_writer.hpp"
#include "cli/numbers.hpp"
#include "cli/output.hpp"

namespace cpgring::cli {
namespace {

const std::map<std::string, wakeup> backends{
    {"auto", wakeup::automatic}, {"futex", wakeup::futex}, {"epoll", wakeup::epoll}};
const std::map<std::string, idle> strategies{
    {"block", idle::block}, {"adaptive", idle::adaptive}, {"spin", idle::spin}, {"yield", idle::yield}};

}  // namespace

void connection_options::declare(CLI::App& app) {
  app.add_option("-s,--service", service, "name of the service's socket; 'cpg' is corosync")
      ->capture_default_str();
  app.add_option(
         "--ring-bytes", ring_bytes,
         "size of each of the handle's three rings; an incoming message needs 184 bytes more than its "
         "own size")
      ->transform(byte_count(ring_bytes_min, ring_bytes_max))
      ->capture_default_str();
  app.add_option("--deadline", deadline_ms, "time limit in milliseconds, for connecting and for each request")
      ->transform(whole_number(1, 3600000))
      ->capture_default_str();
  declare_service_uid(app, service_uid);
}

handle_options connection_options::for_handle() const {
  handle_options h;
  h.service = service;
  h.ring_bytes = ring_bytes;
  h.connect_deadline = h.control_deadline = std::chrono::milliseconds(deadline_ms);
  h.service_uid = service_uid;
  return h;
}

void declare_service_uid(CLI::App& app, std::optional<std::uint32_t>& into) {
  app.add_option("--service-uid", into, "uid that may run the service, in addition to root and this user")
      ->transform(whole_number(0, UINT32_MAX - 1));
}

void declare_group(CLI::App& app, std::string& into) {
  app.add_option("GROUP", into, "the group to join, 1 to 128 bytes")
      ->required()
      ->check([](const std::string& name) {
        return !name.empty() && name.size() <= group_name_max
                   ? std::string()
                   : fmt::format("a group name has 1 to {} bytes, this one has {}", group_name_max,
                                 name.size());
      });
}

void declare_engine(CLI::App& app, engine_options& into) {
  declare_choice(app, "--wakeup", into.wakeup_backend, backends,
                 "how the engine is woken by events; auto: the best available here, see 'cpgring probe'");
  declare_choice(app, "--idle", into.idle_strategy, strategies,
                 "what the engine does without events; default adaptive: poll for a while, then sleep");
}

void declare_verbosity(CLI::App& app, int& verbosity) {
  app.add_flag("-v,--verbose", verbosity, "log to stderr what was probed and chosen; twice: everything");
}

log_callback log_to_stderr(int verbosity, std::optional<log_level> usual) {
  if (verbosity == 0 && !usual) {
    return {};
  }
  const auto from = verbosity >= 2 ? log_level::debug : verbosity == 1 ? log_level::info : *usual;
  return [from, to = std::make_shared<log_writer>(STDERR_FILENO)](log_level level, std::string_view text) {
    if (level >= from) {
      to->write(fmt::format("cpgring: {}: {}\n", to_string(level), text));
    }
  };
}

void print_error(std::string_view text) noexcept { static_cast<void>(write_all(STDERR_FILENO, text)); }

void complain(std::string_view text) { print_error(fmt::format("cpgring: {}\n", text)); }

outcome complain(const error& e) {
  complain(e.message());
  return e == errc::invalid_param || e == errc::name_too_long ? outcome::usage : outcome::no_service;
}

std::size_t raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) {
    return 0;
  }
  if (limit.rlim_cur < limit.rlim_max) {
    const rlimit raised{limit.rlim_max, limit.rlim_max};
    if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) {
      limit = raised;
    }
  }
  return limit.rlim_cur;
}

}  // namespace cpgring::cli
