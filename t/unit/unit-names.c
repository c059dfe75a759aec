// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of unit.h, in the Test Anything Protocol, with cgroup paths of real hosts.
 *
 *     unit-names    exit status 0 if all is well, 1 if a check failed
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "unit.h"

#define ID "3fb6a1c2d4e5f60718293a4b5c6d7e8f90123456789abcdef0123456789abcde"
#define OTHER "0011223344556677889900aabbccddeeff0011223344556677889900aabbccdd"
#define SHORT "3fb6a1c2d4e5"
#define POD "pod1a2b3c4d-1111-2222-3333-444455556666"
#define POD_SLICE "pod1a2b3c4d_1111_2222_3333_444455556666.slice"
#define USER "/user.slice/user-1000.slice/user@1000.service"

static const struct {
	const char *path, *unit, *container; /* NULL: none */
} paths[] = {
	/* no unit */
	{ "/", NULL, NULL },
	{ "", NULL, NULL },
	{ "/my-jobs/nightly", NULL, NULL },
	{ "/.service", NULL, NULL },
	{ "/service/x.service", NULL, NULL },

	/* systemd's, of the system */
	{ "/init.scope", "init.scope", NULL },
	{ "/system.slice/nginx.service", "nginx.service", NULL },
	{ "/system.slice", "system.slice", NULL },
	{ "/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service", NULL },
	{ "/system.slice/system-postgresql.slice/postgresql@15-main.service",
	  "postgresql@15-main.service", NULL },
	{ "/system.slice/systemd-udevd.service/udev", "systemd-udevd.service", NULL },
	{ "/system.slice/ssh.socket", "ssh.socket", NULL },
	{ "/system.slice/run-u42.scope", "run-u42.scope", NULL },
	{ "/system.slice/tmp.mount", "tmp.mount", NULL },
	{ "/system.slice/var-swap.swap", "var-swap.swap", NULL },
	{ "/system.slice/snap.lxd.daemon.service", "snap.lxd.daemon.service", NULL },
	{ "/system.slice/dev-disk-by\\x2duuid-1.swap", "dev-disk-by\\x2duuid-1.swap", NULL },
	{ "/system.slice/_cpu.service", "cpu.service", NULL },
	{ "/batch.slice/batch-low.slice/backup.service", "backup.service", NULL },
	{ "/system.slice/jenkins.service/job.slice/x.service", "jenkins.service", NULL },

	/* of a user */
	{ "/user.slice", "user.slice", NULL },
	{ "/user.slice/user-1000.slice", "user-1000.slice", NULL },
	{ "/user.slice/user-1000.slice/session-3.scope", "session-3.scope", NULL },
	{ "/user.slice/user-0.slice/session-c1.scope", "session-c1.scope", NULL },
	{ USER, "user@1000.service", NULL },
	{ USER "/init.scope", "init.scope", NULL },
	{ USER "/app.slice", "user@1000.service", NULL },
	{ USER "/app.slice/app-firefox-1234.scope", "app-firefox-1234.scope", NULL },
	{ USER "/app.slice/app-org.gnome.Terminal.slice/vte-spawn-5f.scope", "vte-spawn-5f.scope", NULL },
	{ USER "/session.slice/pipewire.service", "pipewire.service", NULL },
	{ USER "/dbus.socket", "dbus.socket", NULL },
	{ USER "/tmux", "user@1000.service", NULL },
	{ "/user.slice/user-1000.slice/user@alice.service/app.slice", "user@alice.service", NULL },

	/* Docker: systemd and cgroupfs drivers, a parent, systemd inside, Docker inside */
	{ "/system.slice/docker.service", "docker.service", NULL },
	{ "/system.slice/docker-" ID ".scope", "docker-" ID ".scope", SHORT },
	{ "/docker/" ID, NULL, SHORT },
	{ "/ci.slice/docker-" ID ".scope", "docker-" ID ".scope", SHORT },
	{ "/system.slice/docker-" ID ".scope/system.slice/nginx.service", "docker-" ID ".scope", SHORT },
	{ "/docker/" ID "/system.slice/nginx.service", NULL, SHORT },
	{ "/docker/" OTHER "/docker/" ID, NULL, SHORT },
	{ "/system.slice:docker:" ID, NULL, SHORT },
	{ "/ecs/0f1e2d3c/" ID, NULL, SHORT },

	/* Podman: both drivers, root and not, its monitor, in a unit of its own */
	{ "/machine.slice/libpod-" ID ".scope", "libpod-" ID ".scope", SHORT },
	{ "/machine.slice/libpod-" ID ".scope/container", "libpod-" ID ".scope", SHORT },
	{ "/machine.slice/libpod-conmon-" ID ".scope", "libpod-conmon-" ID ".scope", NULL },
	{ "/libpod_parent/libpod-" ID, NULL, SHORT },
	{ USER "/user.slice/libpod-" ID ".scope/container", "libpod-" ID ".scope", SHORT },
	{ "/system.slice/web.service/libpod-payload-" ID, "web.service", SHORT },
	{ "/system.slice/web.service/supervisor", "web.service", NULL },

	/* containerd and nerdctl */
	{ "/system.slice/containerd.service", "containerd.service", NULL },
	{ "/system.slice/nerdctl-" ID ".scope", "nerdctl-" ID ".scope", SHORT },
	{ "/default/" ID, NULL, SHORT },

	/* Kubernetes: both drivers, containerd, CRI-O and Docker, classes of service, kind */
	{ "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-" POD_SLICE "/cri-containerd-" ID ".scope",
	  "cri-containerd-" ID ".scope", SHORT },
	{ "/kubepods.slice/kubepods-" POD_SLICE "/cri-containerd-" ID ".scope", "cri-containerd-" ID ".scope", SHORT },
	{ "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-" POD_SLICE "/crio-" ID ".scope/container",
	  "crio-" ID ".scope", SHORT },
	{ "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-" POD_SLICE "/crio-conmon-" ID ".scope",
	  "crio-conmon-" ID ".scope", NULL },
	{ "/kubepods.slice/kubepods-" POD_SLICE "/docker-" ID ".scope", "docker-" ID ".scope", SHORT },
	{ "/kubepods.slice/kubepods-burstable.slice", "kubepods-burstable.slice", NULL },
	{ "/kubepods/burstable/" POD "/" ID, NULL, SHORT },
	{ "/kubepods/besteffort/" POD "/crio-" ID, NULL, SHORT },
	{ "/kubepods/" POD "/" ID, NULL, SHORT },
	{ "/kubepods/burstable/" POD, NULL, NULL },
	{ "/system.slice/containerd.service/kubepods-burstable-" POD_SLICE ":cri-containerd:" ID,
	  "containerd.service", SHORT },
	{ "/system.slice/docker-" OTHER ".scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-" POD_SLICE
	  "/cri-containerd-" ID ".scope", "docker-" OTHER ".scope", SHORT },

	/* LXC, LXD, Incus, Proxmox: old and new layouts; the monitor is outside */
	{ "/lxc.payload.web1", NULL, "web1" },
	{ "/lxc.payload.web1/system.slice/nginx.service", NULL, "web1" },
	{ "/lxc.monitor.web1", NULL, NULL },
	{ "/lxc/101/ns/system.slice/ssh.service", NULL, "101" },
	{ "/lxc.payload/web1/init.scope", NULL, "web1" },
	{ "/lxc", NULL, NULL },
	{ "/lxc.payload.", NULL, NULL },

	/* systemd-nspawn, and machines that register with systemd-machined */
	{ "/machine.slice/systemd-nspawn@deb12.service/payload/system.slice/cron.service",
	  "systemd-nspawn@deb12.service", "deb12" },
	{ "/machine.slice/machine-deb12.scope/payload", "machine-deb12.scope", "deb12" },
	{ "/machine.slice/machine-my\\x2dbuild.scope", "machine-my\\x2dbuild.scope", "my-build" },
	{ "/machine.slice/machine-lxc\\x2d42\\x2dweb.scope/libvirt", "machine-lxc\\x2d42\\x2dweb.scope", "lxc-42-web" },
	{ "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt/emulator", "machine-qemu\\x2d1\\x2dvm.scope", NULL },
	{ "/machine.slice/machine-a\\x00b\\x2.scope", "machine-a\\x00b\\x2.scope", "a\\x00b\\x2" },

	/* no ids: a digit less or more, capitals, another end */
	{ "/docker/3fb6a1c2d4e5", NULL, NULL },
	{ "/docker/" ID "0", NULL, NULL },
	{ "/docker/x" ID, NULL, NULL },
	{ "/docker/F" OTHER, NULL, NULL },
	{ "/system.slice/" ID ".service", ID ".service", NULL },
	{ "/system.slice/" ID ".timer", "system.slice", NULL },
};

static unsigned long failures;

static void check(const char *path, const char *what, bool known, const char *got, const char *wanted)
{
	if (known == (wanted != NULL) && (!known || !strcmp(got, wanted)))
		return;
	failures++;
	printf("# %s of %s: got %s, wanted %s\n", what, path, known ? got : "none",
	       wanted ? wanted : "none");
}

/* The longest possible name of a directory (NAME_MAX), and one byte more. */
static void lengths(void)
{
	char path[2 * UNIT_SIZE] = "/system.slice/", unit[UNIT_SIZE];
	const size_t start = strlen(path);

	for (size_t length = UNIT_SIZE - 1; length <= UNIT_SIZE; length++) {
		memset(path + start, 'u', length - strlen(".service"));
		strcpy(path + start + length - strlen(".service"), ".service");
		check(path, "unit", unit_of(path, unit), unit,
		      length < UNIT_SIZE ? path + start : "system.slice");
	}
}

int main(void)
{
	const size_t count = sizeof(paths) / sizeof(*paths);
	unsigned long failed = 0;

	printf("1..%zu\n", count + 1);
	for (size_t i = 0; i <= count; i++) {
		char unit[UNIT_SIZE], container[UNIT_SIZE];

		failures = 0;
		if (i == count) {
			lengths();
		} else {
			check(paths[i].path, "unit", unit_of(paths[i].path, unit), unit, paths[i].unit);
			check(paths[i].path, "container", container_of(paths[i].path, container),
			      container, paths[i].container);
		}
		printf("%s %zu - %s\n", failures ? "not ok" : "ok", i + 1,
		       i == count ? "the longest names" : paths[i].path);
		failed += failures > 0;
	}
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
