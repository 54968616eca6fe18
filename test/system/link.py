import bp
