# The dashboard on its own, from Debian 12 alone: nginx and web/dist. From the top of the source tree:
#
#     docker build -f deploy/docker/web.Dockerfile -t bagpipe-web .
#     docker run -d -p 3000:3000 -e API=site.example.com:8080 bagpipe-web
#
# web.sh says what the environment may hold; compose.yaml starts it beside a server.
FROM debian:12 AS build
RUN apt-get update && apt-get install -y --no-install-recommends nodejs npm ca-certificates
# Debian 12's node is too old to bundle with; npm brings a newer one
RUN npm install --prefix /opt --no-audit --no-fund node@22
ENV PATH=/opt/node_modules/.bin:/usr/bin:/bin
WORKDIR /src/web
COPY web/package.json web/package-lock.json ./
RUN npm install --no-save --no-audit --no-fund
COPY web ./
RUN npm run build && gzip -9k dist/assets/*

FROM debian:12
RUN apt-get update && apt-get install -y --no-install-recommends nginx && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/web/dist /usr/share/bagpipe/web
COPY deploy/nginx/bagpipe-dashboard.conf /usr/share/bagpipe/
COPY deploy/docker/web.sh /usr/bin/bagpipe-web
USER www-data
EXPOSE 3000
STOPSIGNAL SIGQUIT
ENTRYPOINT ["/usr/bin/bagpipe-web"]
