/* SPDX-License-Identifier: GPL-2.0-only */
static __always_inline int socket_used(struct sock *sk)
{
	return 0;
}
