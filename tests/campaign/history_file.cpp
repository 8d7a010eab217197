#include "campaign/history_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <sstream>
#include <system_error>

#include <fmt/format.h>

namespace cpgring::campaign {
namespace {

// Early enough for every run, late enough that others have delivered something to compare with.
constexpr std::uint64_t spoiled_message = 40;

void put_line(int file, const std::string& line) {
  if (::write(file, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    throw std::system_error(errno, std::generic_category(), "the history takes no more");
  }
}

}  // namespace

history_file::history_file(const std::string& path, plant spoil)
    : file_(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644)), spoil_(spoil) {
  if (!file_) {
    throw std::system_error(errno, std::generic_category(), path);
  }
}

void history_file::begin(const checker::address& self) {
  begun_ = true;
  put_line(file_.get(), fmt::format("process {}:{}\n", self.node, self.pid));
}

void history_file::write(const checker::event& one) {
  std::ostringstream text;
  checker::write(text, one);
  put_line(file_.get(), text.str());
}

bool history_file::message(std::uint64_t number, const std::optional<checker::message_id>& id, bool known) {
  if (number < next_ || !early_.try_emplace(number, numbered{id, known}).second) {
    return false;
  }
  for (auto first = early_.begin(); first != early_.end() && first->first == next_; first = early_.erase(first), ++next_) {
    if (first->second.id) {
      put(*first->second.id);
      if (first->second.known) {
        write({checker::event::kind::known, *first->second.id, 0, {}, {}, {}});
      }
    }
  }
  return true;
}

void history_file::put(const checker::message_id& id) {
  ++messages_;
  const auto event_of = [](const checker::message_id& m) { return checker::event{checker::event::kind::message, m, 0, {}, {}, {}}; };
  if (spoil_ == plant::drop && messages_ == spoiled_message) {
    return;
  }
  if (spoil_ == plant::swap && messages_ >= spoiled_message && !held_back_) {
    held_back_ = id;
    return;
  }
  write(event_of(id));
  if (spoil_ == plant::duplicate && messages_ == spoiled_message) {
    write(event_of(id));
  }
  if (spoil_ == plant::swap && held_back_) {
    write(event_of(*held_back_));
    held_back_.reset();
    spoil_ = plant::nothing;
  }
}

bool history_file::fence() { return early_.empty(); }

void history_file::restart() {
  next_ = 1;
  early_.clear();
}

}  // namespace cpgring::campaign
