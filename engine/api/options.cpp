#include <cpgring/options.hpp>

#include <fmt/format.h>

namespace cpgring {
namespace {

template <class T>
result<void> in_range(std::string_view name, T value, T low, T high) {
  if (!(value >= low && value <= high)) {  // written so that NaN is refused
    return fail(errc::invalid_param, fmt::format("{} is {}, it must be {} to {}", name, value, low, high));
  }
  return {};
}

/// The limit of a day keeps sums with a point in time from overflowing.
result<void> at_most_a_day(std::string_view name, std::chrono::milliseconds value) {
  return in_range<std::int64_t>(name, value.count(), 0, 86400000);
}

result<void> first_failure(std::initializer_list<result<void>> all) {
  for (const auto& one : all) {
    if (!one) {
      return one;
    }
  }
  return {};
}

}  // namespace

result<void> engine_options::validate() const {
  if ((intake_bytes & (intake_bytes - 1)) != 0) {
    return fail(errc::invalid_param,
                fmt::format("intake_bytes is {}, it must be a power of two", intake_bytes));
  }
  if ((worker_queue & (worker_queue - 1)) != 0) {
    return fail(errc::invalid_param,
                fmt::format("worker_queue is {}, it must be a power of two", worker_queue));
  }
  return first_failure(
      {in_range<std::uint32_t>("reactors", reactors, 1, 64),
       in_range<std::uint32_t>("workers", workers, 0, 64),
       in_range<std::uint32_t>("worker_queue", worker_queue, 64, 1048576),
       in_range<double>("idle_cpu_share", idle_cpu_share, 0, 1),
       in_range<std::uint32_t>("handles_expected", handles_expected, 1, 1000000),
       in_range<std::uint32_t>("turn_bytes", turn_bytes, 4096, 16777216),
       in_range<std::size_t>("intake_bytes", intake_bytes, std::size_t{1} << 16, std::size_t{1} << 30),
       in_range<std::uint32_t>("handshakes_max", handshakes_max, 1, 128),
       at_most_a_day("close_deadline", close_deadline)});
}

result<void> handle_options::validate() const {
  if (service.empty()) {
    return fail(errc::invalid_param, "service is empty; for corosync it is \"cpg\"");
  }
  if (service.front() != '/' && service.size() > 100) {
    return fail(errc::invalid_param,
                fmt::format("service has {} bytes, a socket name has at most 100", service.size()));
  }
  if (group.size() > group_name_max) {
    return fail(errc::name_too_long,
                fmt::format("group has {} bytes, a group name has 1 to {}", group.size(), group_name_max));
  }
  if (service_uid == UINT32_MAX) {
    return fail(errc::invalid_param, "service_uid is 4294967295, which is not a user id");
  }
  if (order == ordering::by_key && !key) {
    return fail(errc::invalid_param, "order is by_key, but there is no key function");
  }
  return first_failure(
      {in_range<std::uint32_t>("ring_bytes", ring_bytes, ring_bytes_min, ring_bytes_max),
       in_range<std::size_t>("large_message_max", large_message_max, 0, UINT32_MAX),
       in_range<std::uint32_t>("weight", weight, 1, 1000),
       at_most_a_day("connect_deadline", connect_deadline),
       at_most_a_day("control_deadline", control_deadline),
       in_range<std::size_t>("copy_out_bytes_max", copy_out_bytes_max, 0, std::size_t{1} << 40),
       in_range<std::int64_t>("lease_age_max", lease_age_max.count(), 0, 3600000),
       in_range<std::int64_t>("supervision.backoff_min", supervision.backoff_min.count(), 1, 3600000),
       in_range<std::int64_t>("supervision.backoff_max", supervision.backoff_max.count(),
                              supervision.backoff_min.count(), 3600000)});
}

}  // namespace cpgring
