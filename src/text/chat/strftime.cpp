// text/chat/strftime.cpp: how does a date read in the C locale?
#include <charconv>
#include <chrono>

#include "text/chat/library.hpp"

namespace kinglet::text::chat {
namespace {

constexpr std::string_view months[] = {"January", "February", "March",     "April",   "May",      "June",
                                       "July",    "August",   "September", "October", "November", "December"};
constexpr std::string_view days[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};

struct Moment {
  int year;
  int month;  // 1 to 12
  int day;    // 1 to 31
  int hour;
  int minute;
  int second;
  int weekday;  // Sunday is 0
  int yearday;  // 1 to 366
};

Moment moment(std::int64_t seconds) {
  // The years 1 to 9999, which is what Python's datetime can say.
  constexpr std::int64_t first = -62135596800, last = 253402300799;
  seconds = seconds < first ? first : seconds > last ? last : seconds;
  const std::int64_t day = seconds >= 0 ? seconds / 86400 : -((86399 - seconds) / 86400);
  const auto rest = static_cast<int>(seconds - day * 86400);
  const std::chrono::sys_days date{std::chrono::days{day}};
  const std::chrono::year_month_day ymd{date};
  const std::chrono::sys_days new_year{ymd.year() / std::chrono::January / 1};
  Moment m{};
  m.year = static_cast<int>(ymd.year());
  m.month = static_cast<int>(static_cast<unsigned>(ymd.month()));
  m.day = static_cast<int>(static_cast<unsigned>(ymd.day()));
  m.hour = rest / 3600;
  m.minute = rest / 60 % 60;
  m.second = rest % 60;
  m.weekday = static_cast<int>(std::chrono::weekday{date}.c_encoding());
  m.yearday = static_cast<int>((date - new_year).count()) + 1;
  return m;
}

void number(Buffer& out, std::int64_t v, int width, char pad) {
  char room[24];
  const auto end = std::to_chars(room, room + sizeof room, v).ptr;
  for (auto n = static_cast<int>(end - room); pad != '-' && n < width; ++n) out.append(pad);
  out.append({room, static_cast<std::size_t>(end - room)});
}

/// The ISO 8601 week and its year.
void iso_week(const Moment& m, int& year, int& week) {
  const int weekday = m.weekday == 0 ? 7 : m.weekday;
  const auto weeks_of = [](int y) {
    const auto p = [](int n) { return (n + n / 4 - n / 100 + n / 400) % 7; };
    return p(y) == 4 || p(y - 1) == 3 ? 53 : 52;
  };
  year = m.year;
  week = (m.yearday - weekday + 10) / 7;
  if (week < 1) {
    --year;
    week = weeks_of(year);
  } else if (week > weeks_of(year)) {
    ++year;
    week = 1;
  }
}

/// A directive that is a number. `pad` is '0', ' ' or '-' where a flag asks for it, or '\0' for its own.
bool numeric(Buffer& out, const Moment& m, char what, char pad, std::int64_t seconds) {
  const char zero = pad == '\0' ? '0' : pad;
  const char blank = pad == '\0' ? ' ' : pad;
  const int hour12 = m.hour % 12 == 0 ? 12 : m.hour % 12;
  int iso_year = 0;
  int week = 0;
  iso_week(m, iso_year, week);
  switch (what) {
    case 'Y': number(out, m.year, pad == '\0' ? 1 : 4, zero); break;
    case 'C': number(out, m.year / 100, 2, zero); break;
    case 'y': number(out, m.year % 100, 2, zero); break;
    case 'm': number(out, m.month, 2, zero); break;
    case 'd': number(out, m.day, 2, zero); break;
    case 'e': number(out, m.day, 2, blank); break;
    case 'H': number(out, m.hour, 2, zero); break;
    case 'k': number(out, m.hour, 2, blank); break;
    case 'I': number(out, hour12, 2, zero); break;
    case 'l': number(out, hour12, 2, blank); break;
    case 'M': number(out, m.minute, 2, zero); break;
    case 'S': number(out, m.second, 2, zero); break;
    case 'f': number(out, 0, 6, '0'); break;
    case 'j': number(out, m.yearday, 3, zero); break;
    case 'u': number(out, m.weekday == 0 ? 7 : m.weekday, 1, zero); break;
    case 'w': number(out, m.weekday, 1, zero); break;
    case 'U': number(out, (m.yearday + 6 - m.weekday) / 7, 2, zero); break;
    case 'W': number(out, (m.yearday + 6 - (m.weekday + 6) % 7) / 7, 2, zero); break;
    case 'V': number(out, week, 2, zero); break;
    case 'G': number(out, iso_year, 4, zero); break;
    case 'g': number(out, iso_year % 100, 2, zero); break;
    case 's': number(out, seconds, 1, zero); break;
    default: return false;
  }
  return true;
}

/// What a directive that stands for several is made of; empty for the others.
std::string_view composed(char what) noexcept {
  switch (what) {
    case 'F': return "%Y-%m-%d";
    case 'D':
    case 'x': return "%m/%d/%y";
    case 'T':
    case 'X': return "%H:%M:%S";
    case 'R': return "%H:%M";
    case 'r': return "%I:%M:%S %p";
    case 'c': return "%a %b %e %H:%M:%S %Y";
    default: return {};
  }
}

/// A directive that is a word or a sign; false where there is none of that name.
bool word(Buffer& out, const Moment& m, char what) {
  switch (what) {
    case 'B': out.append(months[m.month - 1]); break;
    case 'b':
    case 'h': out.append(months[m.month - 1].substr(0, 3)); break;
    case 'A': out.append(days[m.weekday]); break;
    case 'a': out.append(days[m.weekday].substr(0, 3)); break;
    case 'p': out.append(m.hour < 12 ? "AM" : "PM"); break;
    case 'P': out.append(m.hour < 12 ? "am" : "pm"); break;
    case 'n': out.append('\n'); break;
    case 't': out.append('\t'); break;
    case '%': out.append('%'); break;
    case 'z':
    case 'Z': break;  // a naive time has no zone
    default: return false;
  }
  return true;
}

void write(Buffer& out, const Moment& m, std::string_view format, std::int64_t seconds) {
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 >= format.size()) {
      out.append(format[i]);
      continue;
    }
    const std::size_t start = i++;
    char pad = '\0';
    if (i + 1 < format.size() && std::string_view("-_0").find(format[i]) != std::string_view::npos) {
      pad = format[i] == '_' ? ' ' : format[i];
      ++i;
    }
    if (const std::string_view parts = composed(format[i]); !parts.empty()) {
      write(out, m, parts, seconds);
    } else if (!numeric(out, m, format[i], pad, seconds) && !word(out, m, format[i])) {
      out.append(format.substr(start, i + 1 - start));
    }
  }
}

}  // namespace

/// strftime of the C locale, as glibc has it.
Value strftime(Run& run, std::string_view format, std::int64_t seconds) {
  const Moment m = moment(seconds);
  Buffer out(run.arena);
  run.charge_bytes(format.size() * 16);
  write(out, m, format, seconds);
  return string(out.text());
}

}  // namespace kinglet::text::chat
