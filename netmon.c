// SPDX-License-Identifier: GPL-2.0-only
/*
 * main and its loop: loads the probes and writes a report at each tick of a grid of the monotonic
 * clock, until it has written as many as asked for, or a signal ends it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include "cgroup.h"
#include "check.h"
#include "command.h"
#include "names.h"
#include "options.h"
#include "filter.h"
#include "message.h"
#include "status.h"

enum { GRACE = 2000, LOOK_AGAIN = 1000 }; /* milliseconds */
enum { MILLISECOND = 1000000, SECOND = 1000000000 }; /* nanoseconds */
enum { TRIES = 100 }; /* to read both clocks at once */
enum { TRIES_TO_CLEAN = 20 }; /* take a second */
enum { ONLY_A_PART = 3 }; /* exit status of --check */
enum { DESCRIPTORS = 128 }; /* more than are open at any time */

enum outcome { GO_ON, DONE, FAILED, PARTLY };

struct netmon {
	struct options options;
	struct command command;
	struct name_cache *cache;
	struct names names;
	struct probes *probes; /* netmon's own; NULL if it reads a pin */
	struct pin *pin;       /* NULL if it has its own probes */
	struct tables *tables; /* filled by either */
	struct history *history;
	struct report *report;
	struct text text;
	int timer;
	int signals;
	int output;
	const char *output_name;
	bool regular;         /* the output is a regular file: a write to it never waits for a reader */
	bool begun;           /* the output has its header */
	bool reopen;          /* reopen the file of --to before the next report */
	bool lost_cgroup;     /* the cgroup that is counted was removed */
	bool over;            /* a signal ends netmon, or its command has ended */
	__u32 parts;          /* what the key of the probes has: enum netmon_part */
	__u64 missed, peers_missed, not_followed;
};

static __u64 nanoseconds(struct timespec time)
{
	return (__u64)time.tv_sec * SECOND + (__u64)time.tv_nsec;
}

static __u64 now(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return nanoseconds(time);
}

/* Signals come through a descriptor, to the poll(2) of everything else.  If SIGHUP is ignored,
 * as by nohup(1), it stays ignored where it would end netmon. */
static int open_signals(struct netmon *netmon)
{
	const struct options *options = &netmon->options;
	struct sigaction hangup;
	sigset_t set;

	sigemptyset(&set);
	if (options->command)
		command_add_signals(&set);
	sigaction(SIGHUP, NULL, &hangup);
	if (options->to || hangup.sa_handler != SIG_IGN)
		sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	netmon->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return netmon->signals < 0 ? cannot("receive", "signals", NULL, NULL) : 0;
}

/* A timer for a grid that begins at `start` (monotonic clock, nanoseconds); with an interval of
 * 0 it never expires. */
static int open_timer(__u64 start, __u64 interval)
{
	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	__u64 end = interval ? start + interval : 0;
	struct timespec first = { .tv_sec = (time_t)(end / SECOND),
				  .tv_nsec = (long)(end % SECOND) };
	struct timespec each = { .tv_sec = (time_t)(interval / SECOND),
				 .tv_nsec = (long)(interval % SECOND) };
	struct itimerspec grid = { .it_value = first, .it_interval = each };

	if (timer >= 0 && timerfd_settime(timer, TFD_TIMER_ABSTIME, &grid, NULL)) {
		close(timer);
		return -1;
	}
	return timer;
}

/* How many calls the kernel skipped; 0 if that is not known. */
static __u64 calls_missed(const struct netmon *netmon)
{
	__u64 missed;

	if (!netmon->pin)
		return probes_missed(netmon->probes);
	return pin_missed(netmon->pin, &missed) ? missed : 0;
}

static void say_missed(struct netmon *netmon)
{
	__u64 missed = calls_missed(netmon);

	if (missed > netmon->missed)
		say("cannot count %llu calls: the kernel skipped the probes",
		    missed - netmon->missed);
	netmon->missed = missed;
}

static void say_peers_missed(struct netmon *netmon)
{
	__u64 missed = netmon->probes ? probes_peers_missed(netmon->probes) : 0;

	if (missed > netmon->peers_missed)
		say("cannot show the peer of at most %llu datagrams: the kernel skipped the probes: "
		    "their bytes are counted", missed - netmon->peers_missed);
	netmon->peers_missed = missed;
}

static void say_not_followed(struct netmon *netmon)
{
	__u64 processes = tables_not_followed(netmon->tables);

	if (processes > netmon->not_followed)
		say("cannot follow %llu descendants of the command: more than %d are alive: they and "
		    "their descendants are not counted", processes - netmon->not_followed,
		    MAX_FOLLOWED);
	netmon->not_followed = processes;
}

/* The probes know the cgroup of a path; one that is made again there is another. */
static void say_lost_cgroup(struct netmon *netmon)
{
	const struct options *options = &netmon->options;

	if (!netmon->probes || !(options->probes.filter.kinds & FILTER_CGROUP) || netmon->lost_cgroup ||
	    options->cgroups.list[0].leave_out ||
	    !faccessat(options->probes.cgroup, "cgroup.procs", F_OK, 0) || errno != ENOENT)
		return;
	netmon->lost_cgroup = true;
	cannot("count", options->cgroups.list[0].text, "the cgroup was removed",
	       "a pattern also selects one that is made again");
}

/* Takes pending signals.  A command gets them; netmon ends when the command does. */
static void take_signals(struct netmon *netmon)
{
	struct signalfd_siginfo signal;

	while (read(netmon->signals, &signal, sizeof(signal)) == sizeof(signal)) {
		bool reopen = signal.ssi_signo == SIGHUP && netmon->options.to;

		netmon->reopen |= reopen;
		if (netmon->command.pid)
			command_signal(&netmon->command, &signal);
		else
			netmon->over |= !reopen;
	}
	netmon->over |= netmon->command.ended;
}

/* Waits until the output takes some bytes.  After a signal that ends netmon, a stalled reader
 * has GRACE to read. */
static enum outcome wait_for_output(struct netmon *netmon)
{
	struct pollfd wait[] = { { .fd = netmon->output, .events = POLLOUT },
				 { .fd = netmon->signals, .events = POLLIN } };

	if (!netmon->over && poll(wait, 2, -1) > 0 && wait[1].revents)
		take_signals(netmon);
	if (netmon->over && poll(wait, 1, GRACE) == 0) {
		cannot("write", netmon->output_name, "its reader does not read",
		       "the last report is lost");
		return FAILED;
	}
	return GO_ON; /* write(2) reports other errors */
}

/* Writes all of the text. */
static enum outcome write_text(struct netmon *netmon)
{
	const struct text *text = &netmon->text;
	size_t written = 0;

	if (text->no_memory) {
		cannot("write", "report", strerror(ENOMEM), NULL);
		return FAILED;
	}
	while (written < text->length) {
		const char *bytes = text->bytes + written;
		size_t length = text->length - written;
		enum outcome outcome = netmon->regular ? GO_ON : wait_for_output(netmon);
		ssize_t taken;

		if (outcome != GO_ON)
			return outcome;
		taken = netmon->regular ? write(netmon->output, bytes, length)
					: write_some(netmon->output, bytes, length);
		if (taken >= 0)
			written += (size_t)taken;
		else if (errno == EPIPE)
			return DONE; /* the reader has had enough */
		else if (errno != EINTR && errno != EAGAIN) {
			cannot("write", netmon->output_name, NULL, NULL);
			return FAILED;
		}
	}
	netmon->text.length = 0;
	return GO_ON;
}

/* Sets errno as for a closed descriptor: see keep_standard(). */
static bool is_read_only(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0 && (flags & O_ACCMODE) != O_RDONLY)
		return false;
	errno = EBADF;
	return true;
}

/* O_APPEND: rows come at the end even if another process writes to the file or truncates it. */
static int open_file(const char *name, int flags)
{
	return open(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | flags, 0666);
}

/* Whether each report replaces the file: node_exporter must always find a whole one. */
static bool replaces(const struct netmon *netmon)
{
	return netmon->options.style.format == PROM && netmon->options.to && netmon->regular;
}

/* Follows the links in the name of --to once, so that a report replaces the file and not a link to it,
 * such as /dev/stdout. */
static int follow_links(struct netmon *netmon)
{
	static char path[PATH_MAX];

	if (!realpath(netmon->options.to, path))
		return cannot("open", netmon->options.to, NULL, NULL);
	netmon->options.to = netmon->output_name = path;
	return 0;
}

/* Opens the output; a command keeps standard output to itself.  A file keeps its content until
 * netmon counts: see empty_output(). */
static int open_output(struct netmon *netmon)
{
	const char *to = netmon->options.to;
	struct stat status;
	sigset_t hangup;

	netmon->output = netmon->options.command ? STDERR_FILENO : STDOUT_FILENO;
	netmon->output_name = netmon->options.command ? "standard error" : "standard output";
	if (to) {
		sigemptyset(&hangup);
		sigaddset(&hangup, SIGHUP);
		sigprocmask(SIG_BLOCK, &hangup, NULL); /* it waits for open_signals() */
		netmon->output = open_file(to, 0);
		netmon->output_name = to;
	}
	if (netmon->output < 0 || is_read_only(netmon->output) || fstat(netmon->output, &status))
		return cannot(to ? "open" : "write", netmon->output_name, NULL, NULL);
	netmon->regular = S_ISREG(status.st_mode);
	return replaces(netmon) ? follow_links(netmon) : 0;
}

/* Reopens the file of --to by its name, since the open one may have been renamed.  O_NONBLOCK:
 * without waiting for the reader of a named pipe. */
static void reopen_output(struct netmon *netmon)
{
	int file = open_file(netmon->options.to, O_NONBLOCK);
	struct stat status;

	netmon->reopen = false;
	if (file < 0 || fstat(file, &status) || dup3(file, netmon->output, O_CLOEXEC) < 0)
		cannot("reopen", netmon->options.to, NULL, "rows still go to the old file");
	else
		netmon->regular = S_ISREG(status.st_mode);
	if (file >= 0)
		close(file);
}

/* Empties the file of --to, unless it is appended to or replaced. */
static int empty_output(const struct netmon *netmon)
{
	const struct options *options = &netmon->options;

	if (!options->to || options->append || !netmon->regular || replaces(netmon) || !ftruncate(netmon->output, 0))
		return 0;
	return cannot("empty", netmon->output_name, NULL, NULL);
}

/* A header begins the output, and each empty file of --to, whether new or truncated. */
static bool needs_header(const struct netmon *netmon)
{
	struct stat status;

	if (!netmon->options.style.header)
		return false;
	if (netmon->options.to && netmon->regular && !fstat(netmon->output, &status))
		return !status.st_size;
	return !netmon->begun;
}

/* Warns if the file to append to begins with another header: its readers would mistake the columns. */
static void check_header(const struct netmon *netmon)
{
	const struct options *options = &netmon->options;
	FILE *file = options->append && netmon->regular ? fopen(options->to, "re") : NULL;
	struct text header = { 0 };
	char line[1024];

	if (!file)
		return;
	if (options->style.header)
		format_header(&header, &options->style, &options->view);
	if (header.length && fgets(line, sizeof(line), file) &&
	    (strlen(line) != header.length || memcmp(line, header.bytes, header.length)))
		say("cannot match the header of '%s': new rows have other columns: use another file, or "
		    "--no-header", options->to);
	text_free(&header);
	fclose(file);
}

/* Writes the report to another file and renames that to the name of --to. */
static enum outcome replace_output(struct netmon *netmon)
{
	const char *to = netmon->options.to;
	enum outcome outcome;
	char path[PATH_MAX];
	int file = -1;

	if (snprintf(path, sizeof(path), "%s.new", to) >= PATH_MAX)
		errno = ENAMETOOLONG;
	else if (!unlink(path) || errno == ENOENT) /* never follow what another user has put there */
		file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (file < 0 || dup3(file, netmon->output, O_CLOEXEC) < 0) {
		cannot("write", path, NULL, NULL);
		return FAILED;
	}
	close(file);
	outcome = write_text(netmon);
	if (outcome == GO_ON && !rename(path, to))
		return GO_ON;
	if (outcome == GO_ON)
		cannot("replace", to, NULL, NULL);
	unlink(path);
	return FAILED;
}

static void add_header(struct netmon *netmon)
{
	if (needs_header(netmon))
		format_header(&netmon->text, &netmon->options.style, &netmon->options.view);
	netmon->begun = true;
}

static int add_entry(void *history, const struct netmon_entry *entry)
{
	if (!history_add(history, entry))
		return 0;
	return cannot("read", "packet_stats", strerror(ENOMEM), NULL);
}

/* Reads both clocks for a tick.  If more than a millisecond passed between the two, because of a
 * slow clock or a busy CPU, it reads them again, at most TRIES times.  No two reports have the
 * same time: readers distinguish reports by it. */
static void set_time(struct tick *tick, __u64 last)
{
	static const struct timespec pause = { .tv_nsec = MILLISECOND / 10 };

	for (int tries = 0;; tries++) {
		tick->clock = now(CLOCK_MONOTONIC);
		tick->time = now(CLOCK_REALTIME) / MILLISECOND;
		if (tick->time == last)
			nanosleep(&pause, NULL);
		else if (now(CLOCK_MONOTONIC) - tick->clock <= MILLISECOND || tries >= TRIES)
			return;
	}
}

/* Warns once if the window does not fit. */
static int complete_tick(struct netmon *netmon)
{
	bool was_cut = history_was_cut(netmon->history);

	if (history_complete(netmon->history))
		return cannot("complete", "tick", strerror(ENOMEM), NULL);
	if (!was_cut && history_was_cut(netmon->history))
		cannot("average over", "all intervals", "they take more than 256 MiB",
		       "rates are averages over as many as fit: use a smaller -w or fewer columns");
	return 0;
}

/* The terminal's present width, which a table fits; 0: there is no terminal. */
static size_t terminal_width(int output)
{
	struct winsize size;

	return ioctl(output, TIOCGWINSZ, &size) ? 0 : size.ws_col;
}

static enum outcome report(struct netmon *netmon)
{
	const struct options *options = &netmon->options;
	struct history *history = netmon->history;
	struct tick *tick = history_push(history);

	set_time(tick, history_tick(history, history_count(history) - 2)->time);
	if (tables_read(netmon->tables, add_entry, history) || complete_tick(netmon))
		return FAILED;
	names_forget(netmon->cache);
	if (report_make(netmon->report, netmon->history)) {
		cannot("make", "report", strerror(ENOMEM), NULL);
		return FAILED;
	}
	add_header(netmon);
	netmon->options.style.width = terminal_width(netmon->output);
	format_report(&netmon->text, &options->style, &options->view, netmon->report);
	say_missed(netmon);
	say_peers_missed(netmon);
	say_not_followed(netmon);
	say_lost_cgroup(netmon);
	return replaces(netmon) ? replace_output(netmon) : write_text(netmon);
}

/* Reports the interval in progress; adds the row (total) if a command has ended and comm or kind is
 * shown, but no series, which would double a sum over all. */
static enum outcome last_report(struct netmon *netmon)
{
	enum outcome outcome;

	netmon->options.view.total |= netmon->command.ended && netmon->options.style.format != PROM &&
				      (view_has(&netmon->options.view, "comm") ||
				       view_has(&netmon->options.view, "kind"));
	outcome = report(netmon);
	return outcome == GO_ON ? DONE : outcome;
}

/* The pin has been removed: reports what it counted until then, and ends. */
static enum outcome say_gone(struct netmon *netmon)
{
	enum outcome outcome = report(netmon);

	cannot("go on reading", netmon->options.pin.dir, "it has been unpinned", NULL);
	return outcome == GO_ON ? FAILED : outcome;
}

/* Reports at each tick.  A late tick covers those that were missed. */
static enum outcome run(struct netmon *netmon)
{
	struct pollfd wait[] = { { .fd = netmon->timer, .events = POLLIN },
				 { .fd = netmon->signals, .events = POLLIN },
				 { .fd = netmon->output } }; /* POLLERR: the reader has gone */
	__u64 reports = 0;
	enum outcome outcome = GO_ON;

	while (outcome == GO_ON) {
		__u64 ticks;

		if (netmon->reopen)
			reopen_output(netmon);
		if (netmon->over)
			return last_report(netmon);
		if (netmon->pin && pin_gone(netmon->pin))
			return say_gone(netmon);
		if (poll(wait, 3, netmon->pin ? LOOK_AGAIN : -1) < 0) {
			if (errno == EINTR)
				continue;
			cannot("poll", "timer", NULL, NULL);
			return FAILED;
		}
		if (wait[2].revents & (POLLERR | POLLHUP))
			return DONE;
		if (wait[1].revents) {
			take_signals(netmon);
			continue;
		}
		if (!wait[0].revents || read(netmon->timer, &ticks, sizeof(ticks)) != sizeof(ticks))
			continue;
		outcome = report(netmon);
		if (outcome != GO_ON || ++reports != netmon->options.count)
			continue;
		if (!netmon->command.pid)
			return DONE;
		wait[0].fd = -1; /* none until the command's end */
	}
	return outcome;
}

/* Opens everything that turns ticks into rows. */
static int open_report(struct netmon *netmon)
{
	const struct options *options = &netmon->options;

	netmon->history = history_new(options->view.window + 1, WINDOW_BYTES_MOST);
	netmon->cache = names_new(options->probes.cgroup_root, options->interval, netmon->tables);
	if (netmon->cache) {
		netmon->names = names_of(netmon->cache);
		netmon->report = report_new(&options->view, netmon->parts, &netmon->names);
	}
	if (netmon->history && netmon->report)
		return 0;
	return cannot("start", "netmon", NULL, NULL);
}

/* The probes follow a command by its pid in the initial pid namespace; from another namespace
 * they would follow another process. */
static int check_namespace(void)
{
	if (pids_are_initial())
		return 0;
	if (errno)
		return cannot("read", "/proc/self/ns/pid", NULL, "is /proc mounted?");
	return cannot("follow", "the command", "netmon is not in the initial pid namespace",
		      "run netmon outside the container");
}

/* In a container, a process has another number than in the rows. */
static void say_pids(const struct options *options)
{
	if (!(options->probes.filter.kinds & FILTER_PIDS) || pids_are_initial())
		return;
	if (errno)
		cannot("read", "/proc/self/ns/pid", NULL, "is /proc mounted?");
	else
		say("cannot use the numbers of this pid namespace for --pid: it takes those of the initial "
		    "one, as in the column 'pid'");
}

/* Says which cgroups cannot be seen.  Layer ip needs the root: without it, it would miss packets. */
static int check_cgroups(const struct options *options)
{
	static const char no_paths[] = "netmon is in a cgroup namespace: cgroups outside have no path";
	static const char no_packets[] = "netmon is in a cgroup namespace: --layer ip would see no packets outside";
	static const char no_peers[] = "netmon is in a cgroup namespace: datagrams outside have no peer";
	static const char advice[] =
		"add CAP_DAC_READ_SEARCH, or run netmon in the host's cgroup namespace";
	const struct probes_options *probes = &options->probes;
	bool shows_cgroups = probes->parts & PART_CGROUP || probes->filter.kinds & FILTER_CGROUP;

	if (probes->cgroup_root >= 0 && !cgroup_is_root(probes->cgroup_root)) {
		if (probes->layer == LAYER_IP)
			return cannot("open", "the root of cgroup v2", no_packets, advice);
		if (!options->quiet)
			cannot("open", "the root of cgroup v2", shows_cgroups ? no_paths : no_peers,
			       advice);
	}
	if (shows_cgroups && options->mode != CHECK && !options->quiet && cgroup_v1_is_used())
		cannot("show", "cgroups of version 1", "columns and filters cover version 2 only",
		       "start the host with systemd.unified_cgroup_hierarchy=1");
	return 0;
}

/* Whether to look for a pin.  A command, layer ip and --no-pin have their own probes. */
static bool looks_for_pin(const struct options *options)
{
	return !options->command && !options->no_pin && options->probes.layer != LAYER_IP;
}

/* The parts of the key that the rows and the filters need. */
static __u32 parts_wanted(const struct options *options)
{
	__u32 kinds = options->probes.filter.kinds;

	return options->probes.parts | filter_parts(kinds) |
	       (kinds & FILTER_PIDS ? PART_PROCESS : 0) | (kinds & FILTER_CGROUP ? PART_CGROUP : 0);
}

static int check_own(const struct options *options)
{
	if (!options->own)
		return 0;
	say("cannot use %s with the probes pinned in '%s': it applies to new ones: %s", options->own,
	    options->pin.dir, pin_advice(options->from, "add --no-pin"));
	return -1;
}

/* No reader can show keys that the pinned probes do not record. */
static int check_parts(const struct options *options, __u32 parts)
{
	__u32 missing = parts_wanted(options) & ~parts;
	char names[256], all[256], reason[PATH_MAX + 64], advice[PATH_MAX + 512];

	if (!missing)
		return 0;
	/* an address needs its family */
	if (missing & (PART_LADDR | PART_RADDR))
		missing |= PART_FAMILY;
	parts_columns(parts | missing, parts, names, sizeof(names));
	parts_columns(parts | missing, 0, all, sizeof(all));
	snprintf(reason, sizeof(reason), "the probes pinned in '%s' do not record it", options->pin.dir);
	snprintf(advice, sizeof(advice), "pin them again with 'netmon --pin %s --replace -o %s', or add "
		 "--no-pin", options->pin.dir, all);
	return cannot("show", names, reason, pin_advice(options->from, advice));
}

/* The tables forget a process that has ended and, if room is short, an address or port that is idle.
 * So the total of a row that sums several of these would fall from one reader to the next.  No pin
 * keeps the total of a name: with --from it begins at 0 with the reader, as with its own probes. */
static int check_totals(struct options *options, __u32 parts)
{
	const __u32 forgotten = PART_PROCESS | PART_LADDR | PART_RADDR | PART_LPORT | PART_RPORT;
	struct view *view = &options->view;
	const char *total = view_has(view, "tx_total") ? "tx_total" : "rx_total";
	__u32 asked = view_parts(view), shown = asked, hidden;
	char names[256], object[320], reason[PATH_MAX + 64], advice[PATH_MAX + 512];

	if (!view_has(view, "pid"))
		shown &= ~(__u32)PART_PROCESS;
	hidden = parts & forgotten & (view->total ? forgotten : ~shown);
	if (!view_has(view, total) || !hidden)
		return 0;
	if (options->from && hidden == PART_PROCESS && view_has(view, "comm") && !view->total &&
	    options->style.format != PROM) {
		view->fresh = true;
		if (!options->quiet)
			say("counting '%s' of each name from now on: the probes pinned in '%s' forget a process "
			    "that has ended: add the column pid for totals since the pin", total,
			    options->pin.dir);
		return 0;
	}
	parts_columns(hidden | PART_FAMILY, PART_FAMILY, names, sizeof(names));
	snprintf(object, sizeof(object), view->total ? "%s' in the row '(total)" : "%s' without '%s", total,
		 names);
	snprintf(reason, sizeof(reason), "the probes pinned in '%s' forget %s", options->pin.dir,
		 hidden & PART_PROCESS ? "a process that has ended" : "an address or port that is idle");
	parts_columns(asked, 0, names, sizeof(names));
	snprintf(advice, sizeof(advice), "pin them again with 'netmon --pin %s --replace -o %s', or add "
		 "--no-pin", options->pin.dir, *names ? names : total);
	if (view->total && asked & forgotten)
		strcpy(advice, "leave out --total, or add --no-pin");
	else if (asked != shown)
		strcpy(advice, "add the column pid, or --no-pin");
	return cannot("show", object, reason, pin_advice(options->from, advice));
}

/* Warns a reader that may not open the programs that it cannot know what was skipped. */
static void say_pin(const struct netmon *netmon)
{
	const struct about *about = pin_about(netmon->pin);
	__u64 missed;

	if (about->holes.may_skip && !netmon->options.quiet && !pin_missed(netmon->pin, &missed))
		say("cannot tell whether the kernel skipped calls: only root may open the programs "
		    "pinned in '%s'", netmon->options.pin.dir);
	if (!netmon->options.probes.verbose)
		return;
	say("reading what is pinned in '%s'", netmon->options.pin.dir);
	probes_say_holes(&about->holes);
}

/* Reads the pin: the report applies the filters that the probes do not. */
static int use_pin(struct netmon *netmon)
{
	struct options *options = &netmon->options;
	const __u32 parts = pin_about(netmon->pin)->layout.parts;

	if (check_own(options) || check_parts(options, parts) || check_totals(options, parts))
		return -1;
	netmon->tables = pin_tables(netmon->pin);
	netmon->parts = parts;
	netmon->missed = calls_missed(netmon);
	options_filter_reports(options);
	say_pin(netmon);
	return 0;
}

/* If libbpf runs out of descriptors, it takes that for a feature that the kernel lacks: so check
 * first that there are enough. */
static int check_descriptors(void)
{
	int copies[DESCRIPTORS], count = 0, error;

	do
		copies[count] = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
	while (copies[count] >= 0 && ++count < DESCRIPTORS);
	error = errno;
	for (int i = 0; i < count; i++)
		close(copies[i]);
	return count == DESCRIPTORS ? 0 : cannot("load", "probes", strerror(error),
						 "raise 'ulimit -n' to 256");
}

static struct probes *open_probes(const struct options *options)
{
	struct probes *probes = check_descriptors() ? NULL : probes_open(&options->probes);

	if (probes && !options->quiet)
		probes_say_holes(probes_holes(probes));
	return probes;
}

static int open_own(struct netmon *netmon)
{
	const struct options *options = &netmon->options;

	netmon->probes = open_probes(options);
	if (!netmon->probes)
		return -1;
	netmon->tables = probes_tables(netmon->probes);
	netmon->parts = options->probes.parts;
	return options->command ? probes_follow(netmon->probes, (__u32)netmon->command.pid) : 0;
}

static int open_source(struct netmon *netmon)
{
	const struct options *options = &netmon->options;

	if (looks_for_pin(options))
		netmon->pin = pin_open(options->pin.dir, options->from);
	if (netmon->pin && !use_pin(netmon))
		return 0;
	pin_close(netmon->pin);
	netmon->pin = NULL;
	return options->from ? -1 : open_own(netmon);
}

/* The first tick of the history.  It has what a pin counted before; netmon's own probes began
 * with nothing. */
static int first_tick(struct netmon *netmon)
{
	struct tick *tick = history_push(netmon->history);

	tick->clock = netmon->pin ? now(CLOCK_MONOTONIC) : nanoseconds(probes_began(netmon->probes));
	if (netmon->pin && tables_read(netmon->tables, add_entry, netmon->history))
		return -1;
	if (complete_tick(netmon))
		return -1;
	netmon->timer = open_timer(tick->clock, netmon->options.interval);
	if (netmon->timer >= 0)
		return 0;
	return cannot("set", "timer", NULL, NULL);
}

/* Opens everything that netmon needs. */
static int start(struct netmon *netmon)
{
	const struct options *options = &netmon->options;

	if (open_output(netmon))
		return -1;
	say_pids(options);
	if (check_cgroups(options))
		return -1;
	if (options->command && check_namespace())
		return -1;
	if (options->command && command_make(&netmon->command, options->command))
		return -1;
	if (open_signals(netmon) || open_source(netmon))
		return -1;
	if (open_report(netmon) || first_tick(netmon))
		return -1;
	if (options->probes.verbose)
		say("counting");
	return 0;
}

static enum outcome pin(struct netmon *netmon)
{
	const struct options *options = &netmon->options;

	say_pids(options);
	if (check_cgroups(options) || pin_check(&options->pin))
		return FAILED;
	netmon->probes = open_probes(options);
	if (!netmon->probes || pin_make(&options->pin, netmon->probes, options->pin_command))
		return FAILED;
	if (options->pin.replace)
		probes_clean(TRIES_TO_CLEAN);
	return DONE;
}

static enum outcome unpin(const struct options *options)
{
	if (pin_remove(options->pin.dir, options->pin.verbose))
		return FAILED;
	probes_clean(TRIES_TO_CLEAN);
	return DONE;
}

static enum outcome status(struct netmon *netmon)
{
	struct options *options = &netmon->options;
	enum outcome outcome;

	if (open_output(netmon) || open_signals(netmon))
		return FAILED;
	options->style.header &= !options->append || needs_header(netmon);
	netmon->pin = pin_open(options->pin.dir, true);
	if (!netmon->pin || status_write(&netmon->text, options, netmon->pin) ||
	    empty_output(netmon))
		return FAILED;
	outcome = write_text(netmon);
	return outcome == GO_ON ? DONE : outcome;
}

/* Opens the probes of a layer as if to count. */
static enum found try_layer(struct netmon *netmon, enum layer layer)
{
	struct options *options = &netmon->options;
	struct text said = { 0 };
	struct probes *probes;
	enum found found;

	options->probes.layer = layer;
	options->probes.retransmits = layer == LAYER_IP;
	options->probes.parts |= layer == LAYER_IP ? PART_IFACE : 0;
	keep_messages(&said);
	probes = check_cgroups(options) ? NULL : open_probes(options);
	keep_messages(NULL);
	found = check_layer(&netmon->text, options, probes, &said);
	probes_close(probes);
	text_free(&said);
	return found;
}

static enum outcome check(struct netmon *netmon)
{
	const struct options *options = &netmon->options;
	struct text said = { 0 };
	enum found socket, ip;

	if (open_output(netmon) || open_signals(netmon))
		return FAILED;
	check_system(&netmon->text, options);
	keep_messages(&said);
	netmon->pin = pin_open(options->pin.dir, true);
	keep_messages(NULL);
	check_pin(&netmon->text, options, netmon->pin, &said);
	text_free(&said);
	socket = try_layer(netmon, LAYER_SOCKET);
	ip = try_layer(netmon, LAYER_IP);
	if (write_text(netmon) == FAILED || (socket == NOTHING && ip == NOTHING))
		return FAILED;
	return socket == EVERYTHING && ip == EVERYTHING ? DONE : PARTLY;
}

static enum outcome read_probes(struct netmon *netmon)
{
	enum outcome outcome;

	if (start(netmon) || empty_output(netmon))
		return FAILED;
	check_header(netmon);
	add_header(netmon);
	outcome = write_text(netmon);
	if (netmon->command.pid)
		command_start(&netmon->command);
	return outcome == GO_ON ? run(netmon) : outcome;
}

static enum outcome act(struct netmon *netmon)
{
	const struct options *options = &netmon->options;

	switch (options->mode) {
	case PIN:
		return pin(netmon);
	case UNPIN:
		return unpin(options);
	case STATUS:
		return status(netmon);
	case CHECK:
		return check(netmon);
	default:
		return read_probes(netmon);
	}
}

/* If one of the three standard descriptors is closed, keeps its number from being reused:
 * messages would go to the file of the rows.  Writing to it still fails, and a command finds it
 * closed. */
static void keep_standard(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	struct netmon netmon = { .timer = -1, .signals = -1 };
	enum outcome outcome;

	command_take_signals(&netmon.command);
	keep_standard();
	options_parse(&netmon.options, argc, argv);
	outcome = act(&netmon);
	if (netmon.command.pid)
		command_wait(&netmon.command, netmon.signals);
	pin_close(netmon.pin);
	probes_close(netmon.probes);
	report_free(netmon.report);
	names_free(netmon.cache);
	history_free(netmon.history);
	text_free(&netmon.text);
	if (netmon.timer >= 0)
		close(netmon.timer);
	if (netmon.signals >= 0)
		close(netmon.signals);
	if (netmon.command.started && (outcome == DONE || netmon.command.status))
		command_pass_on(&netmon.command);
	return outcome == DONE ? EXIT_SUCCESS : outcome == PARTLY ? ONLY_A_PART : EXIT_FAILURE;
}
