/* daemons/xs_txmap.c - the few open transactions of one client. */
#include "daemons/xs_txmap.h"

#include <errno.h>
#include <stdlib.h>

#include "daemons/sys.h"

int xs_txmap_add(struct xs_txmap *m, uint32_t theirs, uint32_t *ret_ours)
{
	struct xs_tx *tx = sys_realloc(m->tx, (m->n + 1) * sizeof(*tx));

	if (!tx)
		return -ENOMEM;
	m->tx = tx;
	if (++m->last == 0)
		m->last = 1; /* 0 means no transaction */
	tx[m->n++] = (struct xs_tx){ m->last, theirs };
	*ret_ours = m->last;
	return 0;
}

int xs_txmap_find(const struct xs_txmap *m, uint32_t ours, uint32_t *ret_theirs)
{
	if (ours == 0) {
		*ret_theirs = 0;
		return 0;
	}
	for (size_t i = 0; i < m->n; i++)
		if (m->tx[i].ours == ours) {
			*ret_theirs = m->tx[i].theirs;
			return 0;
		}
	return -EAGAIN;
}

void xs_txmap_del(struct xs_txmap *m, uint32_t ours)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->tx[i].ours == ours) {
			m->tx[i] = m->tx[--m->n];
			return;
		}
}

void xs_txmap_clear(struct xs_txmap *m)
{
	free(m->tx);
	m->tx = NULL;
	m->n = 0;
}
